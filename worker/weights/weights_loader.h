// Loads stages from the cache of weights, fetching what is not in it; and fetches copies of stages
// that may have to be taken over, while nothing more urgent is fetched.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/executor.h"
#include "kernels/backend.h"
#include "model/store/blob_store.h"
#include "wire/messages.h"
#include "worker/stage/stage_runner.h"
#include "worker/weights/kept_manifests.h"
#include "worker/weights/memory_claims.h"
#include "worker/weights/stage_weights.h"

namespace potluck::worker {

// A device for one stage, by its name in a plan. Called on the stage's thread, also after the
// loader has gone, while what it began is disposed of.
using OpenDevice =
    std::function<absl::StatusOr<std::unique_ptr<kernels::Backend>>(const std::string& device)>;

struct WeightsLoaderOptions {
  wire::Peer coordinator;        // always a source
  std::string manifests_folder;  // where fetched manifests are kept; empty: nowhere
  FetchOptions fetch;
  // Told which model has to be fetched: whatever of it comes into the store's local files meanwhile
  // is not. May be null.
  std::function<void(std::shared_ptr<const model::Manifest>)> look_for;
  OpenDevice open_device;
  // Where stages are announced and may be refused; null: nowhere. Must outlive the loader.
  MemoryClaims* claims = nullptr;
  // A thread for one stage.
  std::function<std::unique_ptr<Executor>()> make_thread;
  // A stage has been loaded; `took` includes fetching what was not here. May be null.
  std::function<void(absl::Duration took)> loaded;
};

// Single-threaded: lives on the executor. What it began must be destroyed before it.
class WeightsLoader final : public StageLoader {
 public:
  static constexpr size_t kMostCopies = 64;  // under way; more are refused

  // The store has a cache. `around` is copied; what it refers to must outlive the loader.
  WeightsLoader(WeightsLoaderOptions options, model::BlobStore store,
                const WeightsSurroundings& around);
  ~WeightsLoader() override;

  std::unique_ptr<Loading> Load(
      const wire::Prepare& stage, absl::AnyInvocable<void(double fraction)> on_progress,
      absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<StageRunner>>)> done) override;

  // In the background, one after another, while no stage is being loaded. `done`: once it is on the
  // disk, or cannot be.
  void KeepCopy(const wire::KeepCopy& copy, absl::AnyInvocable<void(absl::Status)> done);

 private:
  class StageLoading;
  struct Copy;

  WantedWeights Wanted(const wire::Digest& manifest, const model::StageOptions& stage,
                       std::vector<wire::Peer> sources) const;
  void BeginLoading();
  void EndLoading();
  void StartNextCopy();
  void EndCopy(absl::Status status);

  const WeightsLoaderOptions options_;
  const model::BlobStore store_;
  const WeightsSurroundings around_;
  const KeptManifests manifests_;
  int num_loading_ = 0;
  std::list<Copy> copies_;  // the first one is under way
};

}  // namespace potluck::worker
