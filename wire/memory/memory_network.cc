#include "wire/memory/memory_network.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "wire/memory/connection.h"

namespace potluck::wire {

using memory_internal::Connection;
using memory_internal::Node;

void MemoryTransport::Listen(LinkAcceptor& acceptor) { node_->SetAcceptor(acceptor); }

std::unique_ptr<Link> MemoryTransport::Dial(const WorkerId& worker,
                                            const std::vector<std::string>& addresses,
                                            LinkKind kind, LinkHandler& handler) {
  Passage passage;
  if (network_.faults_ != nullptr) passage = network_.faults_->OnDial(node_->name(), worker, kind);
  MemoryNetwork::NodePtr to = network_.FindNode(addresses);
  absl::Status error = passage.broken;
  if (to == nullptr) {
    if (error.ok()) {
      error = absl::UnavailableError(
          absl::StrCat("nobody listens at ", absl::StrJoin(addresses, ", ")));
    }
  } else if (error.ok() && !worker.empty() && to->name() != worker) {
    error = absl::UnauthenticatedError(absl::StrCat("at ", absl::StrJoin(addresses, ", "),
                                                    " is not ", worker, " but ", to->name()));
  }
  if (to == nullptr) to = std::make_shared<Node>(worker, addresses, nullptr);
  const std::string address = addresses.empty() ? "" : addresses.front();
  auto connection = std::make_shared<Connection>(kind, node_, std::move(to), network_.faults_);
  network_.AddConnection(connection);
  return connection->Open(handler, address, passage.delay, error);
}

void MemoryTransport::Vanish(absl::Duration noticed_after) {
  if (node_->vanished()) return;
  network_.RemoveNode(node_);
  for (const auto& connection : network_.ConnectionsBetween(node_->name(), "")) {
    for (const auto end : {Connection::kDialler, Connection::kAcceptor}) {
      if (connection->node(end) == node_) connection->Vanish(end, noticed_after);
    }
  }
  node_->Vanish();
}

std::unique_ptr<MemoryTransport> MemoryNetwork::AddNode(const WorkerId& name,
                                                        const std::vector<std::string>& addresses,
                                                        Executor& executor) {
  auto node = std::make_shared<Node>(name, addresses, &executor);
  const std::lock_guard lock(mutex_);
  for (const std::string& address : addresses) nodes_[address] = node;
  return std::unique_ptr<MemoryTransport>(new MemoryTransport(*this, std::move(node)));
}

MemoryNetwork::NodePtr MemoryNetwork::FindNode(const std::vector<std::string>& addresses) {
  const std::lock_guard lock(mutex_);
  for (const std::string& address : addresses) {
    const auto found = nodes_.find(address);
    if (found != nodes_.end()) return found->second;
  }
  return nullptr;
}

void MemoryNetwork::AddConnection(const ConnectionPtr& connection) {
  const std::lock_guard lock(mutex_);
  std::erase_if(connections_, [](const auto& known) { return known.expired(); });
  connections_.push_back(connection);
}

std::vector<MemoryNetwork::ConnectionPtr> MemoryNetwork::ConnectionsBetween(const WorkerId& a,
                                                                            const WorkerId& b) {
  std::vector<ConnectionPtr> between;
  const auto is = [](const WorkerId& wanted, const WorkerId& name) {
    return wanted.empty() || wanted == name;
  };
  const std::lock_guard lock(mutex_);
  for (const auto& weak : connections_) {
    ConnectionPtr connection = weak.lock();
    if (connection == nullptr || !connection->open()) continue;
    const WorkerId& from = connection->node(Connection::kDialler)->name();
    const WorkerId& to = connection->node(Connection::kAcceptor)->name();
    if ((is(a, from) && is(b, to)) || (is(a, to) && is(b, from)))
      between.push_back(std::move(connection));
  }
  return between;
}

void MemoryNetwork::RemoveNode(const NodePtr& node) {
  const std::lock_guard lock(mutex_);
  for (const std::string& address : node->addresses()) {
    const auto found = nodes_.find(address);
    if (found != nodes_.end() && found->second == node) nodes_.erase(found);
  }
}

void MemoryNetwork::BreakLinks(const WorkerId& a, const WorkerId& b, const absl::Status& why) {
  for (const auto& connection : ConnectionsBetween(a, b))
    connection->Break(why, absl::ZeroDuration());
}

int64_t MemoryNetwork::num_open_links() {
  return static_cast<int64_t>(ConnectionsBetween("", "").size());
}

}  // namespace potluck::wire
