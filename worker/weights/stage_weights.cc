#include "worker/weights/stage_weights.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "common/status_macros.h"
#include "worker/disposal.h"

namespace potluck::worker {

StageWeightsFetch::StageWeightsFetch(const WeightsSurroundings& around,
                                     const model::BlobStore& store, const KeptManifests& manifests,
                                     WantedWeights wanted, const FetchOptions& options,
                                     absl::AnyInvocable<void(double)> on_progress,
                                     absl::AnyInvocable<void(absl::StatusOr<StageWeights>)> done)
    : around_(around),
      store_(store),
      manifests_(manifests),
      wanted_(std::move(wanted)),
      options_(options),
      on_progress_(std::move(on_progress)),
      done_(std::move(done)) {
  OnFiles([kept = manifests_, address = wanted_.manifest] { return ReadManifest(kept, address); },
          &StageWeightsFetch::OnManifest);
}

template <typename Work>
void StageWeightsFetch::OnFiles(Work work,
                                void (StageWeightsFetch::*then)(decltype(std::declval<Work>()()))) {
  around_.files.Post([this, &executor = around_.executor, alive = std::weak_ptr(alive_),
                      work = std::move(work), then]() mutable {
    executor.Post([this, alive, result = work(), then]() mutable {
      if (!alive.expired()) (this->*then)(std::move(result));
    });
  });
}

WeightsFetch& StageWeightsFetch::fetch() {
  if (fetch_ == nullptr)
    fetch_ = std::make_unique<WeightsFetch>(around_, store_, wanted_.sources, options_);
  return *fetch_;
}

void StageWeightsFetch::Fetch(std::vector<model::Blob> missing,
                              WeightsFetch::StoredCallback on_stored,
                              absl::AnyInvocable<void(absl::Status)> done) {
  if (wanted_.look_for) wanted_.look_for(manifest_);
  fetch().GetBlobs(std::move(missing), std::move(on_stored), std::move(done));
}

void StageWeightsFetch::End(absl::StatusOr<StageWeights> result) {
  std::exchange(done_, nullptr)(std::move(result));
}

// ---- 1. the manifest ----

absl::StatusOr<StageWeightsFetch::ManifestPtr> StageWeightsFetch::ReadManifest(
    const KeptManifests& manifests, const Sha256Digest& address) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string bytes, manifests.Read(address));
  POTLUCK_ASSIGN_OR_RETURN(model::Manifest manifest, model::ParseManifest(bytes));
  return std::make_shared<const model::Manifest>(std::move(manifest));
}

void StageWeightsFetch::OnManifest(absl::StatusOr<ManifestPtr> manifest) {
  if (absl::IsNotFound(manifest.status())) {
    FetchManifest();
  } else if (!manifest.ok()) {
    End(manifest.status());
  } else {
    manifest_ = *std::move(manifest);
    OnFiles([store = store_, &disposal = around_.disposal,
             manifest = manifest_] { return FindCommon(store, disposal, manifest); },
            &StageWeightsFetch::OnCommon);
  }
}

void StageWeightsFetch::FetchManifest() {
  fetch().GetManifest(wanted_.manifest, [this](absl::StatusOr<std::string> bytes) {
    if (!bytes.ok()) {
      End(bytes.status());
      return;
    }
    OnFiles(
        [kept = manifests_, address = wanted_.manifest,
         bytes = *std::move(bytes)]() -> absl::StatusOr<ManifestPtr> {
          POTLUCK_ASSIGN_OR_RETURN(model::Manifest manifest, model::ParseManifest(bytes));
          kept.Keep(address, bytes);
          return std::make_shared<const model::Manifest>(std::move(manifest));
        },
        &StageWeightsFetch::OnManifest);
  });
}

// ---- 2. what every holder needs ----

namespace {

// Pins what is missing before the room for it is looked for. What lies in a local file needs none,
// and a copy of it in the cache may go.
absl::StatusOr<std::shared_ptr<const model::BlobPin>> PinAll(
    const model::BlobStore& store, Executor& disposal, std::span<const model::Blob* const> blobs) {
  std::vector<Sha256Digest> ids;
  for (const model::Blob* blob : blobs) {
    if (!store.files().Has(*blob)) ids.push_back(blob->id);
  }
  POTLUCK_ASSIGN_OR_RETURN(auto pin, store.cache()->Pin(std::move(ids)));
  return DestroyedOn(disposal, std::move(pin));
}

std::vector<const model::Blob*> DoubtfulOf(const model::BlobStore& store,
                                           std::span<const model::Blob* const> blobs) {
  std::vector<const model::Blob*> doubtful;
  for (const model::Blob* blob : blobs) {
    if (!store.files().Has(*blob) && store.cache()->Has(*blob) &&
        !store.cache()->IsVerified(blob->id) &&
        std::ranges::count(doubtful, blob->id, &model::Blob::id) == 0)
      doubtful.push_back(blob);
  }
  return doubtful;
}

// Its bytes where it is whole. Where it is not, it is gone from the cache.
uint64_t VerifiedBytes(const model::BlobStore& store, const model::Blob& blob) {
  const absl::Status status = store.cache()->Verify(blob);
  if (absl::IsDataLoss(status)) Log(LogLevel::kWarning, "weights damaged", {{"status", status}});
  return status.ok() ? blob.size_bytes : 0;
}

absl::StatusOr<std::vector<model::Blob>> MissingOf(const model::BlobStore& store,
                                                   std::span<const model::Blob* const> blobs) {
  const std::vector<const model::Blob*> missing = store.Missing(blobs);
  POTLUCK_RETURN_IF_ERROR(store.cache()->CheckRoom(missing));
  std::vector<model::Blob> copies;
  for (const model::Blob* blob : missing) copies.push_back(*blob);
  return copies;
}

}  // namespace

absl::StatusOr<StageWeightsFetch::Common> StageWeightsFetch::FindCommon(
    const model::BlobStore& store, Executor& disposal, const ManifestPtr& manifest) {
  const std::vector<const model::Blob*> blobs = model::StoredModel::CommonBlobs(*manifest);
  Common common;
  POTLUCK_ASSIGN_OR_RETURN(common.pin, PinAll(store, disposal, blobs));
  for (const model::Blob* blob : DoubtfulOf(store, blobs)) VerifiedBytes(store, *blob);
  POTLUCK_ASSIGN_OR_RETURN(common.missing, MissingOf(store, blobs));
  return common;
}

void StageWeightsFetch::OnCommon(absl::StatusOr<Common> common) {
  if (!common.ok()) {
    End(common.status());
    return;
  }
  common_pin_ = std::move(common->pin);
  const auto go_on = [this](absl::Status status) {
    if (!status.ok()) {
      End(std::move(status));
      return;
    }
    OnFiles([store = store_, &disposal = around_.disposal, manifest = manifest_,
             wanted = wanted_] { return FindStage(store, disposal, manifest, wanted); },
            &StageWeightsFetch::OnStage);
  };
  if (common->missing.empty()) {
    go_on(absl::OkStatus());
  } else {
    Fetch(
        std::move(common->missing), [](uint64_t) {}, go_on);
  }
}

// ---- 3. the stage's own ----

absl::StatusOr<StageWeightsFetch::Needed> StageWeightsFetch::FindStage(
    const model::BlobStore& store, Executor& disposal, const ManifestPtr& manifest,
    const WantedWeights& wanted) {
  POTLUCK_ASSIGN_OR_RETURN(std::shared_ptr<const model::StoredModel> model,
                           model::StoredModel::Open(*manifest, store));
  model = DestroyedOn(disposal, std::move(model));
  model::StageOptions stage = wanted.stage;
  if (stage.context_length == 0) stage.context_length = model->config().context_length;
  Needed needed;
  POTLUCK_ASSIGN_OR_RETURN(needed.weights.tensors,
                           model->StageTensors(stage.range, stage.context_length));
  if (wanted.admit) {
    POTLUCK_ASSIGN_OR_RETURN(needed.memory, model->MemoryFor(stage));
  }
  POTLUCK_ASSIGN_OR_RETURN(needed.blobs, model::BlobsOf(*manifest, needed.weights.tensors));
  POTLUCK_ASSIGN_OR_RETURN(needed.weights.pin, PinAll(store, disposal, needed.blobs));
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<model::Blob> missing, MissingOf(store, needed.blobs));
  for (const model::Blob& blob : missing) needed.bytes += blob.size_bytes;
  needed.doubtful = DoubtfulOf(store, needed.blobs);
  for (const model::Blob* blob : needed.doubtful) needed.bytes += blob->size_bytes;
  needed.weights.model = std::move(model);
  return needed;
}

void StageWeightsFetch::OnStage(absl::StatusOr<Needed> needed) {
  if (!needed.ok()) {
    End(needed.status());
    return;
  }
  if (wanted_.admit) {
    if (absl::Status admitted = wanted_.admit(needed->memory); !admitted.ok()) {
      End(std::move(admitted));
      return;
    }
  }
  needed_ = *std::move(needed);
  all_bytes_ = std::max<uint64_t>(needed_.bytes, 1);
  VerifyNext();
}

// One at a time, so that others' files are read and written in between.
void StageWeightsFetch::VerifyNext() {
  if (needed_.doubtful.empty()) {
    OnFiles([store = store_, manifest = manifest_,
             blobs = needed_.blobs] { return MissingOf(store, blobs); },
            &StageWeightsFetch::OnMissing);
    return;
  }
  OnFiles([store = store_, manifest = manifest_,
           blob = needed_.doubtful.back()] { return VerifiedBytes(store, *blob); },
          &StageWeightsFetch::OnVerified);
  needed_.doubtful.pop_back();
}

void StageWeightsFetch::OnVerified(uint64_t bytes) {
  CountBytes(bytes);
  VerifyNext();
}

void StageWeightsFetch::OnMissing(absl::StatusOr<std::vector<model::Blob>> missing) {
  if (!missing.ok()) {
    End(missing.status());
  } else if (missing->empty()) {
    End(std::move(needed_.weights));
  } else {
    Fetch(
        *std::move(missing), [this](uint64_t bytes) { CountBytes(bytes); },
        [this](absl::Status status) {
          if (status.ok()) {
            End(std::move(needed_.weights));
          } else {
            End(std::move(status));
          }
        });
  }
}

void StageWeightsFetch::CountBytes(uint64_t bytes) {
  counted_bytes_ += bytes;
  // More may be missing than was at first: another process that finds damage removes it, too.
  all_bytes_ = std::max(all_bytes_, counted_bytes_);
  on_progress_(static_cast<double>(counted_bytes_) / static_cast<double>(all_bytes_));
}

}  // namespace potluck::worker
