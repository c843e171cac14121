// The one thread that gRPC's events come on. Of several threads that wait for gRPC, each event
// wakes one after another, since whoever found it hands the waiting over before going on with it:
// for a token that passes three processes that is milliseconds' worth of switches. So a process has
// one, which its server and its transport share.
#pragma once

#include <memory>
#include <thread>

#include "grpcpp/completion_queue.h"

namespace potluck::wire {

// What a completion queue's tags point to.
class Completion {
 public:
  virtual void OnCompleted(bool ok) = 0;

 protected:
  ~Completion() = default;
};

// Calls a method of its owner.
template <class Owner>
class CompletionOf final : public Completion {
 public:
  CompletionOf(Owner* owner, void (Owner::*method)(bool ok)) : owner_(owner), method_(method) {}
  void OnCompleted(bool ok) override { (owner_->*method_)(ok); }

 private:
  Owner* const owner_;
  void (Owner::*const method_)(bool ok);
};

class CompletionThread {
 public:
  // A server's queue, or any.
  explicit CompletionThread(std::shared_ptr<grpc::CompletionQueue> queue);
  // Not on the thread itself. All that the queue was given must be over, or about to be.
  ~CompletionThread();

  grpc::CompletionQueue& queue() { return *queue_; }

 private:
  const std::shared_ptr<grpc::CompletionQueue> queue_;
  std::thread thread_;
};

}  // namespace potluck::wire
