// Two members of a cluster, each with an executor of its own, and what a test sees of their links.
// Every Transport has a world: the same tests of how links behave run over each.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "common/thread_executor.h"
#include "wire/link.h"

namespace potluck::wire {

inline Message Numbered(int64_t number, size_t bytes = 0) {
  return Ping{.number = number, .bytes = std::string(bytes, 'x')};
}

// Wakes a test that waits for something to have happened. Thread-safe.
class Happenings {
 public:
  void Note();
  // Asks `done` as a task of `executor`, again whenever something has happened, until it holds or
  // half a minute has gone without it: then false.
  bool WaitUntil(ThreadExecutor& executor, const std::function<bool()>& done);

 private:
  Mutex mutex_;
  Condition changed_;
  int64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
};

// On one executor.
struct Recorder : LinkHandler {
  explicit Recorder(Happenings& noted) : happenings(noted) {}
  void OnMessage(Message message) override;
  void OnWritable() override;
  void OnClosed(absl::Status why) override;

  Happenings& happenings;
  std::vector<int64_t> numbers;  // of pings
  std::vector<Message> others;
  int writable = 0, num_closed = 0;
  absl::Status closed;
  std::function<void()> on_message;
};

struct Acceptor : LinkAcceptor {
  explicit Acceptor(Happenings& noted) : happenings(noted) {}
  LinkHandler& OnLink(LinkKind kind, std::unique_ptr<Link> link) override;

  struct Taken {
    LinkKind kind;
    PeerIdentity peer;
    std::unique_ptr<Link> link;
    std::unique_ptr<Recorder> handler;
  };
  Happenings& happenings;
  absl::Status refusal;  // an error: links are closed with it at once
  std::vector<Taken> taken;
};

class LinkWorld {
 public:
  virtual ~LinkWorld() = default;
  // a dials, b listens at `b_addresses` with `acceptor`.
  virtual Transport& a_transport() = 0;
  virtual WorkerId a_id() const = 0;
  virtual WorkerId b_id() const = 0;
  virtual std::vector<std::string> b_addresses() const = 0;
  virtual std::string dead_address() const = 0;  // nobody listens there
  // Ends b's process, as far as links know.
  virtual void EndB() = 0;

  Happenings happenings;
  Acceptor acceptor{happenings};          // on b
  ThreadExecutor a_executor, b_executor;  // outlived by all that is on them
};

using MakeLinkWorld = std::unique_ptr<LinkWorld> (*)();
std::unique_ptr<LinkWorld> MakeMemoryLinkWorld();
std::unique_ptr<LinkWorld> MakeGrpcLinkWorld();

}  // namespace potluck::wire
