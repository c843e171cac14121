// Fetches a manifest, and blobs into the cache, from several peers at once.
//
// Each source has a few chunks under way, so that fast ones carry more. A chunk counts once it is
// verified and written; what an earlier fetch has left is not fetched again. Memory is bounded by
// the chunks under way: a source is asked for more when what it sent is on the disk.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "common/sha256.h"
#include "model/store/blob_store.h"
#include "wire/messages.h"
#include "worker/weights/source.h"

namespace potluck::worker {

struct FetchOptions {
  size_t chunks_per_source = 4;  // under way at a time
  absl::Duration stall_time = absl::Seconds(20);
  uint64_t seed = 0;  // of the waits before dialling again
};

// Lives on the executor. Destroying it ends the fetch: nothing is called after.
class WeightsFetch final : private SourceEvents {
 public:
  using StoredCallback = absl::AnyInvocable<void(uint64_t bytes)>;

  // Dials the sources. `around` must outlive the fetch; the store has a cache.
  WeightsFetch(const WeightsSurroundings& around, model::BlobStore store,
               std::vector<wire::Peer> sources, const FetchOptions& options);
  ~WeightsFetch() override;

  // Its verified bytes, from the first source that has it; the sources' errors where none does. One
  // request of either kind at a time; `done` may destroy the fetch.
  void GetManifest(const Sha256Digest& address,
                   absl::AnyInvocable<void(absl::StatusOr<std::string>)> done);

  // Makes all these blobs whole in the cache, but for those that are found in local files
  // meanwhile. `on_stored` counts their bytes as they are there, also those that were there before.
  // ResourceExhausted (cache, disk) says what is lacking; NotFound or Unavailable why no source
  // gave it.
  void GetBlobs(std::vector<model::Blob> blobs, StoredCallback on_stored,
                absl::AnyInvocable<void(absl::Status)> done);

 private:
  // A blob that is being fetched.
  struct Open {
    model::Blob blob;
    std::shared_ptr<model::BlobWriter> writer;  // null: another process may be fetching it
    std::deque<uint64_t> todo;                  // chunks to ask for
    size_t missing = 0;                         // chunks that are not on the disk
    absl::Duration waited;                      // for the other process
  };
  using OpenPtr = std::shared_ptr<Open>;

  // SourceEvents
  void OnManifest(Source& source, wire::ManifestReply reply) override;
  void OnChunk(Source& source, const Sha256Digest& blob, uint64_t index,
               absl::StatusOr<std::string> bytes) override;
  void OnChanged(Source& source) override;

  void AskForManifest();
  void EndManifest(absl::StatusOr<std::string> bytes);

  void Pump();
  void OpenBlob(const OpenPtr& open);
  void Opened(const OpenPtr& open, absl::StatusOr<std::shared_ptr<model::BlobWriter>> writer);
  bool AskForChunk(Source& source);
  void Written(const OpenPtr& open, Source& source, uint64_t index, const absl::Status& status);
  void Finish(const OpenPtr& open);
  void Close(const OpenPtr& open);
  void EndBlobs(const absl::Status& status);
  // An error where something is wanted that no source will give.
  absl::Status CheckSources() const;
  std::string Troubles() const;
  OpenPtr Find(const Sha256Digest& blob) const;

  // Runs `work` on the file executor and `then` with its result here, unless the fetch is gone.
  template <typename Work, typename Then>
  void OnFiles(Work work, Then then);

  const WeightsSurroundings& around_;
  const model::BlobStore store_;
  const FetchOptions options_;
  std::vector<std::unique_ptr<Source>> sources_;

  std::optional<Sha256Digest> manifest_;  // wanted
  size_t next_source_ = 0;                // to ask for it
  absl::AnyInvocable<void(absl::StatusOr<std::string>)> on_manifest_;

  std::deque<model::Blob> waiting_;
  std::vector<OpenPtr> open_;                // in the order of opening
  std::map<const Source*, size_t> writing_;  // chunks that came and are not on the disk yet
  StoredCallback on_stored_;
  absl::AnyInvocable<void(absl::Status)> on_blobs_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::worker
