// Gets the weights that a range of layers needs onto this machine: the manifest, what every holder
// of the model needs, then the range's tensors; from the cache and local files where they are
// there, from peers otherwise. What the cache has from an earlier process is verified before it is
// used: disks and memory cards forget.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/sha256.h"
#include "model/decoder/decoder_stage.h"
#include "model/store/stored_model.h"
#include "wire/messages.h"
#include "worker/weights/kept_manifests.h"
#include "worker/weights/weights_fetch.h"

namespace potluck::worker {

struct StageWeights {
  std::shared_ptr<const model::StoredModel> model;
  std::vector<std::string> tensors;
  std::shared_ptr<const model::BlobPin> pin;  // of their blobs
};

struct WantedWeights {
  Sha256Digest manifest;
  model::StageOptions stage;  // a context_length of 0: the model's own
  std::vector<wire::Peer> sources;
  // Asked, where there is one, before the stage's own weights are fetched; its error ends it.
  std::function<absl::Status(const model::StageMemory&)> admit;
  // Told, where there is one, when something has to be fetched: see WeightsLoaderOptions.
  std::function<void(std::shared_ptr<const model::Manifest>)> look_for;
};

// Lives on the executor. Destroying it cancels: no callback comes after.
class StageWeightsFetch {
 public:
  // `on_progress`: 0 to 1. All but `wanted` and `options` must outlive it; the store has a cache.
  StageWeightsFetch(const WeightsSurroundings& around, const model::BlobStore& store,
                    const KeptManifests& manifests, WantedWeights wanted,
                    const FetchOptions& options, absl::AnyInvocable<void(double)> on_progress,
                    absl::AnyInvocable<void(absl::StatusOr<StageWeights>)> done);

 private:
  using ManifestPtr = std::shared_ptr<const model::Manifest>;
  struct Common {
    std::shared_ptr<const model::BlobPin> pin;
    std::vector<model::Blob> missing;
  };
  struct Needed {
    StageWeights weights;
    std::vector<const model::Blob*> blobs;     // of the manifest
    std::vector<const model::Blob*> doubtful;  // of them: cached, not verified in this process
    uint64_t bytes = 0;                        // to be verified or fetched
    model::StageMemory memory;
  };

  static absl::StatusOr<ManifestPtr> ReadManifest(const KeptManifests& manifests,
                                                  const Sha256Digest& address);
  static absl::StatusOr<Common> FindCommon(const model::BlobStore& store, Executor& disposal,
                                           const ManifestPtr& manifest);
  static absl::StatusOr<Needed> FindStage(const model::BlobStore& store, Executor& disposal,
                                          const ManifestPtr& manifest, const WantedWeights& wanted);

  void OnManifest(absl::StatusOr<ManifestPtr> manifest);
  void FetchManifest();
  void OnCommon(absl::StatusOr<Common> common);
  void OnStage(absl::StatusOr<Needed> needed);
  void VerifyNext();
  void OnVerified(uint64_t bytes);
  void OnMissing(absl::StatusOr<std::vector<model::Blob>> missing);
  void CountBytes(uint64_t bytes);
  void End(absl::StatusOr<StageWeights> result);
  WeightsFetch& fetch();
  void Fetch(std::vector<model::Blob> missing, WeightsFetch::StoredCallback on_stored,
             absl::AnyInvocable<void(absl::Status)> done);

  template <typename Work>
  void OnFiles(Work work, void (StageWeightsFetch::*then)(decltype(std::declval<Work>()())));

  const WeightsSurroundings& around_;
  const model::BlobStore& store_;
  const KeptManifests& manifests_;
  const WantedWeights wanted_;
  const FetchOptions options_;
  absl::AnyInvocable<void(double)> on_progress_;
  absl::AnyInvocable<void(absl::StatusOr<StageWeights>)> done_;
  std::unique_ptr<WeightsFetch> fetch_;  // once something is missing
  ManifestPtr manifest_;
  std::shared_ptr<const model::BlobPin> common_pin_;
  Needed needed_;
  uint64_t counted_bytes_ = 0, all_bytes_ = 1;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::worker
