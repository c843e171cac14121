// gRPC's events, dealt with on the thread of the executor that they lead to. Threads of their own
// would have to wake each other and the executor for each message: for a token that passes three
// processes that is milliseconds of switches and cold caches.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "common/thread_executor.h"
#include "grpcpp/alarm.h"
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

class CompletionPoller final : public Poller {
 public:
  // A server's queue, or any.
  explicit CompletionPoller(std::shared_ptr<grpc::CompletionQueue> queue)
      : queue_(std::move(queue)) {}
  // All that the queue was given must be over, or about to be.
  ~CompletionPoller() override;

  // The executor's, which is given one if it has none. In a task of it.
  static std::shared_ptr<CompletionPoller> Of(ThreadExecutor& executor);

  void WaitUntil(std::chrono::steady_clock::time_point until) override;
  void Wake() override;
  grpc::CompletionQueue& queue() { return *queue_; }

 private:
  void OnWoken(bool ok);

  const std::shared_ptr<grpc::CompletionQueue> queue_;
  grpc::Alarm alarm_;
  std::atomic<bool> waking_ = false;  // the alarm's event is still to come
  CompletionOf<CompletionPoller> woken_{this, &CompletionPoller::OnWoken};
};

// Polls on a thread of its own while the executor's waits for what calls lead to.
class PolledElsewhere {
 public:
  explicit PolledElsewhere(CompletionPoller& poller);
  ~PolledElsewhere();

 private:
  CompletionPoller& poller_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace potluck::wire
