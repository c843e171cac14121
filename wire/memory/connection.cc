#include "wire/memory/connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "wire/memory/message_size.h"

namespace potluck::wire::memory_internal {
namespace {

class MemoryLink final : public Link {
 public:
  MemoryLink(std::shared_ptr<Connection> connection, Connection::End end, PeerIdentity peer)
      : connection_(std::move(connection)), end_(end), peer_(std::move(peer)) {}
  ~MemoryLink() override {
    connection_->Close(end_, absl::UnavailableError("the peer has closed the link"));
  }

  bool Send(Message message) override { return connection_->Send(end_, std::move(message)); }
  void Close(absl::Status why) override { connection_->Close(end_, why); }
  const PeerIdentity& peer() const override { return peer_; }

 private:
  const std::shared_ptr<Connection> connection_;
  const Connection::End end_;
  const PeerIdentity peer_;
};

absl::Duration TimeFor(int64_t bytes, double bytes_per_second) {
  return absl::Seconds(static_cast<double>(bytes) / bytes_per_second);
}

// One that shares nothing: the thread sanitizer does not see the reference counts of libabsl, and
// takes a status that two threads share for a race.
absl::Status Copy(const absl::Status& status) { return {status.code(), status.message()}; }

}  // namespace

void Node::PostAfter(absl::Duration delay, Executor::Task task) {
  const std::lock_guard lock(mutex_);
  if (executor_ != nullptr) executor_->PostAfter(delay, std::move(task));
}

absl::Duration Node::Now() {
  const std::lock_guard lock(mutex_);
  return executor_ == nullptr ? absl::ZeroDuration() : executor_->clock().SinceStart();
}

void Node::Vanish() {
  const std::lock_guard lock(mutex_);
  executor_ = nullptr;
}

bool Node::vanished() {
  const std::lock_guard lock(mutex_);
  return executor_ == nullptr;
}

Connection::Connection(LinkKind kind, std::shared_ptr<Node> dialler, std::shared_ptr<Node> acceptor,
                       FaultModel* faults)
    : kind_(kind), faults_(faults) {
  ends_[kDialler].node = std::move(dialler);
  ends_[kAcceptor].node = std::move(acceptor);
}

std::unique_ptr<Link> Connection::Open(LinkHandler& handler, const std::string& address,
                                       absl::Duration delay, const absl::Status& error) {
  EndState& end = ends_[kDialler];
  end.handler = &handler;
  PeerIdentity peer{.worker = ends_[kAcceptor].node->name(), .address = address};
  auto link = std::make_unique<MemoryLink>(shared_from_this(), kDialler, std::move(peer));
  if (!error.ok()) {
    {
      const std::lock_guard lock(mutex_);
      ends_[kAcceptor].ended = true;
      end.stalled = true;
    }
    if (delay < absl::InfiniteDuration()) {
      end.node->PostAfter(delay,
                          [self = shared_from_this(), error] { self->EndNow(kDialler, error); });
    }
    return link;
  }
  if (delay == absl::InfiniteDuration()) {
    const std::lock_guard lock(mutex_);
    end.stalled = true;
    return link;
  }
  end.busy_until = end.arrival = end.node->Now() + delay;
  end.last_delay = ends_[kAcceptor].last_delay = delay;
  Push(kDialler, Accept{}, delay);
  return link;
}

bool Connection::Send(End from, Message message) {
  EndState& end = ends_[from];
  {
    const std::lock_guard lock(mutex_);
    if (end.ended) return true;
  }
  const int64_t bytes = EstimateBytes(message);
  Passage passage;
  if (faults_ != nullptr)
    passage = faults_->OnMessage(end.node->name(), ends_[Other(from)].node->name(), kind_, message);
  if (!passage.broken.ok()) {
    Break(passage.broken, passage.delay);
    return true;
  }
  const absl::Duration now = end.node->Now();
  std::unique_lock lock(mutex_);
  if (passage.delay == absl::InfiniteDuration()) end.stalled = true;
  if (!end.stalled) {
    end.busy_until = std::max(end.busy_until, now) + TimeFor(bytes, passage.bytes_per_second);
    end.arrival = std::max(end.arrival, end.busy_until + passage.delay);
    end.last_delay = passage.delay;
  }
  const bool waits = end.stalled || end.busy_until > now;
  if (waits) end.queued_bytes += bytes;
  const bool too_much = end.queued_bytes > Link::kMostQueuedBytes;
  const bool full = end.queued_bytes >= Link::kHighWaterBytes;
  end.told_full |= full;
  const bool stalled = end.stalled;
  const absl::Duration leaves = end.busy_until - now, arrives = end.arrival - now;
  lock.unlock();
  if (too_much) {
    Break(absl::ResourceExhaustedError(
              absl::StrCat("the peer reads nothing while ", Link::kMostQueuedBytes, " bytes wait")),
          absl::ZeroDuration());
    return true;
  }
  if (stalled) return !full;
  if (waits) {
    end.node->PostAfter(
        leaves, [self = shared_from_this(), from, bytes] { self->Transmitted(from, bytes); });
  }
  Push(from, std::move(message), arrives);
  return !full;
}

void Connection::Transmitted(End from, int64_t bytes) {
  EndState& end = ends_[from];
  {
    const std::lock_guard lock(mutex_);
    end.queued_bytes -= bytes;
    if (end.ended || !end.told_full || end.queued_bytes >= Link::kLowWaterBytes) return;
    end.told_full = false;
  }
  if (end.handler != nullptr) end.handler->OnWritable();
}

void Connection::Push(End from, Item item, absl::Duration delay) {
  const End to = Other(from);
  {
    const std::lock_guard lock(mutex_);
    if (ends_[to].ended) return;
    ends_[to].inbox.push_back(std::move(item));
  }
  ends_[to].node->PostAfter(delay, [self = shared_from_this(), to] { self->Deliver(to); });
}

void Connection::Deliver(End to) {
  EndState& end = ends_[to];
  Item item;
  {
    const std::lock_guard lock(mutex_);
    if (end.ended || end.inbox.empty()) return;
    item = std::move(end.inbox.front());
    end.inbox.pop_front();
  }
  if (std::holds_alternative<Accept>(item)) {
    TakeLink();
  } else if (auto* message = std::get_if<Message>(&item)) {
    if (end.handler != nullptr) end.handler->OnMessage(std::move(*message));
  } else {
    EndNow(to, std::get<absl::Status>(item));
  }
}

void Connection::TakeLink() {
  EndState& end = ends_[kAcceptor];
  LinkAcceptor* acceptor = end.node->acceptor();
  if (acceptor == nullptr) {
    Break(absl::UnavailableError(absl::StrCat(end.node->name(), " does not listen")),
          ends_[kAcceptor].last_delay);
    return;
  }
  const WorkerId& from = ends_[kDialler].node->name();
  PeerIdentity peer{.worker = from, .address = absl::StrCat("memory:", from)};
  LinkHandler& handler =
      acceptor->OnLink(kind_, std::make_unique<MemoryLink>(shared_from_this(), kAcceptor, peer));
  const std::lock_guard lock(mutex_);
  if (!end.ended) end.handler = &handler;  // else it was closed at once
}

void Connection::Close(End from, const absl::Status& why) {
  EndState& end = ends_[from];
  end.handler = nullptr;
  const absl::Duration now = end.node->Now();
  absl::Duration delay;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(end.ended, true)) return;
    end.inbox.clear();
    if (end.stalled) return;
    end.arrival = std::max(end.arrival, now + end.last_delay);
    delay = end.arrival - now;
  }
  Push(from, Copy(why), delay);
}

void Connection::Vanish(End gone, absl::Duration noticed_after) {
  EndState& end = ends_[gone];
  end.handler = nullptr;
  const absl::Duration now = end.node->Now();
  absl::Duration delay;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(end.ended, true)) return;
    end.inbox.clear();
    if (noticed_after == absl::InfiniteDuration()) {
      ends_[Other(gone)].stalled = true;
      return;
    }
    delay = std::max(end.arrival - now, noticed_after);
    if (end.stalled) delay = noticed_after;
  }
  Push(gone, absl::UnavailableError(absl::StrCat(end.node->name(), " is gone")), delay);
}

void Connection::Break(const absl::Status& why, absl::Duration delay) {
  {
    const std::lock_guard lock(mutex_);
    for (EndState& end : ends_) end.stalled = true;
  }
  if (delay == absl::InfiniteDuration()) return;
  for (const End end : {kDialler, kAcceptor}) {
    ends_[end].node->PostAfter(
        delay, [self = shared_from_this(), end, copy = Copy(why)] { self->EndNow(end, copy); });
  }
}

void Connection::EndNow(End end, const absl::Status& why) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(ends_[end].ended, true)) return;
    ends_[end].inbox.clear();
  }
  if (LinkHandler* handler = std::exchange(ends_[end].handler, nullptr)) handler->OnClosed(why);
}

bool Connection::open() {
  const std::lock_guard lock(mutex_);
  return !ends_[kDialler].ended || !ends_[kAcceptor].ended;
}

}  // namespace potluck::wire::memory_internal
