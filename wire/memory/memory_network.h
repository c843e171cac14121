// Links between nodes of one process, for tests: a network that delays, throttles, stalls and
// breaks as a FaultModel says. Under one simulated clock everything happens in one order.
//
// A node is a process of the network: it has a name (its worker id, which the network proves to
// others), an executor, and addresses under which others reach it, or none: then it only dials.
#pragma once

#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "wire/link.h"

namespace potluck::wire {

// What happens to one message, or to a dial, on its way.
struct Passage {
  absl::Duration delay;  // infinite: this and all that follows in the same direction never arrives
  double bytes_per_second = std::numeric_limits<double>::infinity();
  // An error: the link breaks instead, and both ends are told so after `delay`; the message is
  // lost. A dial fails with it.
  absl::Status broken;
};

// Asked on the sender's executor, in the order of sending; must be thread-safe where executors
// have threads of their own.
class FaultModel {
 public:
  virtual ~FaultModel() = default;
  virtual Passage OnDial(const WorkerId& /*from*/, const WorkerId& /*to*/, LinkKind /*kind*/) {
    return {};
  }
  // A message's bandwidth is its link's: what was sent before goes first. Order is always kept.
  virtual Passage OnMessage(const WorkerId& from, const WorkerId& to, LinkKind kind,
                            const Message& message) = 0;
};

namespace memory_internal {
class Connection;
class Node;
}  // namespace memory_internal

class MemoryNetwork;

// A node's way into the network. Lives on the node's executor, which must outlive it; destroying it
// is Vanish().
class MemoryTransport final : public Transport {
 public:
  ~MemoryTransport() override { Vanish(); }

  // Takes the links that others dial; without it they are refused (Unavailable).
  void Listen(LinkAcceptor& acceptor);
  std::unique_ptr<Link> Dial(const WorkerId& worker, const std::vector<std::string>& addresses,
                             LinkKind kind, LinkHandler& handler) override;

  // The process is gone, or the machine: no handler of this node is called after, and the other
  // ends hear Unavailable after so long, or never (infinite). What this node has sent and is on its
  // way still arrives before.
  void Vanish(absl::Duration noticed_after = absl::ZeroDuration());

 private:
  friend class MemoryNetwork;
  MemoryTransport(MemoryNetwork& network, std::shared_ptr<memory_internal::Node> node)
      : network_(network), node_(std::move(node)) {}

  MemoryNetwork& network_;
  const std::shared_ptr<memory_internal::Node> node_;
};

// Thread-safe. Must outlive its transports.
class MemoryNetwork {
 public:
  // Without faults everything arrives at once. `faults` must outlive the network.
  explicit MemoryNetwork(FaultModel* faults = nullptr) : faults_(faults) {}

  // A node that has vanished may be added again under its name and addresses.
  std::unique_ptr<MemoryTransport> AddNode(const WorkerId& name,
                                           const std::vector<std::string>& addresses,
                                           Executor& executor);

  // Breaks all links between two nodes now: both ends get `why`. "" stands for any node.
  void BreakLinks(const WorkerId& a, const WorkerId& b, const absl::Status& why);
  // That are not closed at both ends, for tests that count.
  int64_t num_open_links();

 private:
  friend class MemoryTransport;
  using NodePtr = std::shared_ptr<memory_internal::Node>;
  using ConnectionPtr = std::shared_ptr<memory_internal::Connection>;

  NodePtr FindNode(const std::vector<std::string>& addresses);
  void AddConnection(const ConnectionPtr& connection);
  // Open ones between a and b.
  std::vector<ConnectionPtr> ConnectionsBetween(const WorkerId& a, const WorkerId& b);
  void RemoveNode(const NodePtr& node);

  FaultModel* const faults_;
  std::mutex mutex_;
  absl::flat_hash_map<std::string, NodePtr> nodes_;  // by address
  std::vector<std::weak_ptr<memory_internal::Connection>> connections_;
};

}  // namespace potluck::wire
