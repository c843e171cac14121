// Gives peers what they ask for on weights links: manifests, and chunks of blobs that this machine
// has. Coordinator and workers serve alike; whoever asks verifies what it gets.
//
// A link begins with WeightsHello. Its requests are answered one after another, in their order; a
// chunk is read when what was sent before has gone, so a slow peer costs one chunk of memory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/executor.h"
#include "common/sha256.h"
#include "model/store/blob_store.h"
#include "wire/link.h"
#include "wire/messages.h"

namespace potluck::wire {

struct WeightsServerOptions {
  Version version;
  std::string who;  // this side, for people: "the coordinator"
};

// Single-threaded: lives on `executor`.
class WeightsServer final : public LinkAcceptor {
 public:
  static constexpr size_t kMostLinks = 256;
  static constexpr size_t kMostWaitingRequests = 64;  // of one link: more is nonsense

  // `files` runs what reads from disks; it and `executor` must outlive the server.
  WeightsServer(WeightsServerOptions options, model::BlobStore store, Executor& executor,
                Executor& files);
  ~WeightsServer() override;

  // Serialised manifests, by address. Blobs are served whether a manifest that names them is here
  // or not.
  void AddManifest(const Sha256Digest& address, std::string bytes);

  LinkHandler& OnLink(LinkKind kind, std::unique_ptr<Link> link) override;

  size_t num_links() const { return links_.size(); }
  int64_t sent_bytes() const { return sent_bytes_; }  // of chunks

 private:
  class ServedLink;

  void Forget(ServedLink& link);

  const WeightsServerOptions options_;
  const std::shared_ptr<const model::BlobStore> store_;  // shared with reads that are under way
  Executor& executor_;
  Executor& files_;
  std::map<Sha256Digest, std::string> manifests_;
  std::map<const ServedLink*, std::shared_ptr<ServedLink>> links_;
  IgnoringHandler refused_;
  int64_t sent_bytes_ = 0;
};

}  // namespace potluck::wire
