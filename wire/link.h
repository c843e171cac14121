// How messages get from one process to another: ordered links, and the transport that makes them.
// Implementations: wire/grpc (between machines) and wire/memory (tests).
//
// Everything here lives on one executor: the transport is made with it, all calls come from its
// tasks, and all handlers run in its tasks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wire/messages.h"

namespace potluck::wire {

enum class LinkKind : uint8_t { kControl, kData, kWeights };

// Who is at the other end, as the transport has proved it: the worker of the peer's certificate.
// Every link has one, on loopback, too; it is never what a peer says of itself.
struct PeerIdentity {
  WorkerId worker;
  std::string address;  // for people
};

class LinkHandler {
 public:
  virtual ~LinkHandler() = default;
  virtual void OnMessage(Message message) = 0;
  // What was queued has fallen below kLowWaterBytes after a Send had returned false.
  virtual void OnWritable() {}
  // The last call: the peer closed it, the connection broke (Unavailable), a dial failed, or the
  // peer sent what is no message (InvalidArgument).
  virtual void OnClosed(absl::Status why) = 0;
};

// Of links that were closed as soon as they came.
class IgnoringHandler final : public LinkHandler {
 public:
  void OnMessage(Message /*message*/) override {}
  void OnClosed(absl::Status /*why*/) override {}
};

// An ordered stream of messages, both ways. Destroying it closes it; no handler is called after.
class Link {
 public:
  static constexpr int64_t kHighWaterBytes = int64_t{8} << 20;
  static constexpr int64_t kLowWaterBytes = int64_t{2} << 20;
  // A peer that reads nothing while this much is queued has its link closed.
  static constexpr int64_t kMostQueuedBytes = int64_t{64} << 20;

  virtual ~Link() = default;
  // Queues the message. False when kHighWaterBytes are queued: wait for OnWritable before sending
  // what can wait.
  virtual bool Send(Message message) = 0;
  // Sends what is queued, then ends; the peer's OnClosed gets `why` (code and message). This side's
  // handler is called no more.
  virtual void Close(absl::Status why) = 0;
  virtual const PeerIdentity& peer() const = 0;
};

// Takes links that others have dialled.
class LinkAcceptor {
 public:
  virtual ~LinkAcceptor() = default;
  // The result must outlive the link or OnClosed, whichever ends first.
  virtual LinkHandler& OnLink(LinkKind kind, std::unique_ptr<Link> link) = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Messages may be sent at once: they go out when the link is up. A failure comes as OnClosed.
  // `worker`: who is expected at the other end (its certificate must say so); `addresses` are tried
  // in order.
  virtual std::unique_ptr<Link> Dial(const WorkerId& worker,
                                     const std::vector<std::string>& addresses, LinkKind kind,
                                     LinkHandler& handler) = 0;
};

}  // namespace potluck::wire
