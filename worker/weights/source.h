// One peer that weights are fetched from, and the link to it. Of weights_fetch.h's own.
//
// Requests are answered in their order. A peer that sends what was not asked for, more bytes than a
// chunk has, or nothing for the stall time is dropped for good; one that cannot be reached is
// dialled again a few times.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "common/sha256.h"
#include "wire/link.h"
#include "wire/messages.h"
#include "worker/links/back_off.h"

namespace potluck::worker {

struct WeightsSurroundings {
  wire::WorkerId self;
  wire::Version version;
  Executor& executor;
  Executor& files;     // runs what reads and writes disks
  Executor& disposal;  // destroys what takes a while (worker/disposal.h)
  wire::Transport& transport;
};

class Source;

class SourceEvents {
 public:
  virtual ~SourceEvents() = default;
  virtual void OnManifest(Source& source, wire::ManifestReply reply) = 0;
  // The bytes are as many as were asked for, and not verified. NotFound: ask another.
  virtual void OnChunk(Source& source, const Sha256Digest& blob, uint64_t index,
                       absl::StatusOr<std::string> bytes) = 0;
  // It may be asked again, or has been dropped. What it had been asked for is not answered.
  virtual void OnChanged(Source& source) = 0;
};

// Lives on the executor.
class Source final : public wire::LinkHandler {
 public:
  static constexpr int kMostRedials = 5;  // without a chunk in between

  struct Request {
    bool is_manifest = false;
    Sha256Digest digest;  // of the manifest, or the blob's id
    uint64_t index = 0, size_bytes = 0;
    std::string bytes;  // that have come
  };

  // Dials it. All must outlive it.
  Source(const WeightsSurroundings& around, wire::Peer peer, absl::Duration stall_time,
         uint64_t seed, SourceEvents& events);
  ~Source() override;

  const wire::Peer& peer() const { return peer_; }
  // Whether it takes requests now.
  bool usable() const { return link_ != nullptr && !dropped(); }
  // An error: for good.
  const absl::Status& why_dropped() const { return why_dropped_; }
  bool dropped() const { return !why_dropped_.ok(); }
  // Of the last time that it could not be reached.
  const absl::Status& trouble() const { return trouble_; }
  bool Lacks(const Sha256Digest& blob) const { return lacks_.contains(blob); }
  size_t num_requests() const { return requests_.size(); }

  void AskForManifest(const Sha256Digest& address);
  void AskForChunk(const Sha256Digest& blob, uint64_t index, uint64_t size_bytes);
  // For good: it sent wrong bytes. Calls OnChanged.
  void Drop(const absl::Status& why);
  // Those that were not answered when the link ended.
  std::vector<Request> TakeUnanswered();

  void OnMessage(wire::Message message) override;
  void OnClosed(absl::Status why) override;

 private:
  void Dial();
  void Ask(Request request, wire::Message message);
  absl::Status Take(wire::ManifestReply reply);
  absl::Status Take(wire::ChunkPiece piece);
  void RestartStallTimer();
  void Unanswer();

  const WeightsSurroundings& around_;
  const wire::Peer peer_;
  const absl::Duration stall_time_;
  SourceEvents& events_;
  std::unique_ptr<wire::Link> link_;    // null: it is not reached now
  std::unique_ptr<wire::Link> closed_;  // until it is dialled again: it may be in a call of ours
  std::deque<Request> requests_;
  std::vector<Request> unanswered_;
  std::set<Sha256Digest> lacks_;
  absl::Status why_dropped_, trouble_;
  int redials_ = 0;
  BackOff back_off_;
  Timer stall_timer_, redial_timer_;
};

}  // namespace potluck::worker
