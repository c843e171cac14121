// One link of a MemoryNetwork: its two ends, and what is on its way between them. Of the network's
// own; tests use memory_network.h.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "common/executor.h"
#include "wire/link.h"
#include "wire/memory/memory_network.h"

namespace potluck::wire::memory_internal {

// A process of the network. Thread-safe: others post to it while it goes.
class Node {
 public:
  // Without an executor it has vanished already.
  Node(WorkerId name, std::vector<std::string> addresses, Executor* executor)
      : name_(std::move(name)), addresses_(std::move(addresses)), executor_(executor) {}

  const WorkerId& name() const { return name_; }
  const std::vector<std::string>& addresses() const { return addresses_; }

  // Nothing happens on a node that has vanished.
  void PostAfter(absl::Duration delay, Executor::Task task);
  absl::Duration Now();
  void Vanish();
  bool vanished();

  void SetAcceptor(LinkAcceptor& acceptor) { acceptor_ = &acceptor; }
  LinkAcceptor* acceptor() const { return acceptor_; }  // on its executor

 private:
  const WorkerId name_;
  const std::vector<std::string> addresses_;
  std::mutex mutex_;
  Executor* executor_;
  LinkAcceptor* acceptor_ = nullptr;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  enum End { kDialler = 0, kAcceptor = 1 };

  Connection(LinkKind kind, std::shared_ptr<Node> dialler, std::shared_ptr<Node> acceptor,
             FaultModel* faults);

  // On the dialler's executor: the link is up after `delay`, or fails with `error`.
  std::unique_ptr<Link> Open(LinkHandler& handler, const std::string& address, absl::Duration delay,
                             const absl::Status& error);

  // On that end's executor.
  bool Send(End from, Message message);
  void Close(End from, const absl::Status& why);
  void Vanish(End gone, absl::Duration noticed_after);

  // From anywhere: both ends hear of it after `delay`; what is still on its way then is lost.
  void Break(const absl::Status& why, absl::Duration delay);

  const std::shared_ptr<Node>& node(End end) const { return ends_[end].node; }
  bool open();

 private:
  struct Accept {};
  using Item = std::variant<Accept, Message, absl::Status>;
  struct EndState {
    std::shared_ptr<Node> node;
    LinkHandler* handler = nullptr;  // only on the node's executor
    // Guarded by mutex_.
    bool ended = false;
    std::deque<Item> inbox;
    // Of what this end sends:
    int64_t queued_bytes = 0;
    bool told_full = false;
    bool stalled = false;       // nothing more arrives
    absl::Duration busy_until;  // the last byte sent has left
    absl::Duration arrival;     // of the last message
    absl::Duration last_delay;
  };

  static End Other(End end) { return end == kDialler ? kAcceptor : kDialler; }
  // Queues an item for the other end and has it delivered once `delay` from now.
  void Push(End from, Item item, absl::Duration delay);
  void Deliver(End to);
  void TakeLink();
  void Transmitted(End from, int64_t bytes);
  // The end's OnClosed, unless it has ended; what waits for it is lost.
  void EndNow(End end, const absl::Status& why);

  const LinkKind kind_;
  FaultModel* const faults_;
  std::mutex mutex_;
  std::array<EndState, 2> ends_;
};

}  // namespace potluck::wire::memory_internal
