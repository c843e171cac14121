// The models that a coordinator serves, as it has them: their text side, their shape for the
// planner, and the manifest by which workers fetch their weights. Opened on a thread of their own:
// the first time a file is seen all of it is read (its content is its address).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/executor.h"
#include "common/sha256.h"
#include "model/generation/text_codec.h"
#include "model/store/local_files.h"
#include "model/store/manifest_cache.h"
#include "partition/model_shape.h"

namespace potluck::coordinator {

struct ServedModel {
  std::string name, path;
  model::TextCodec text;
  partition::ModelShape shape;
  Sha256Digest manifest;
  std::string manifest_bytes;  // serialised
  int64_t vocab_size = 0;
  int64_t window = 0;                      // the shortest of its layers' windows; 0: none has one
  std::vector<model::TokenId> end_tokens;  // all that end an answer
  model::Pooling pooling = model::Pooling::kMean;
};

// Reads headers, vocabulary and, where `manifests` does not know the file, every byte of it. What
// it holds may be served from `files` afterwards.
absl::StatusOr<std::shared_ptr<const ServedModel>> OpenServedModel(
    const std::string& path, const model::ManifestCache& manifests, model::LocalFiles& files,
    const model::MakeManifestOptions& options);

class ModelLibrary {
 public:
  using Opened = absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<const ServedModel>>)>;

  // `reading` runs what reads files, one after another, for as long as that takes: nothing that
  // others wait for. `executor` is told. All must outlive the library and its tasks on `reading`.
  ModelLibrary(const model::ManifestCache& manifests, model::LocalFiles& local, Executor& reading,
               Executor& executor)
      : manifests_(manifests), local_(local), reading_(reading), executor_(executor) {}
  // Ends soon what is being read; nobody is told.
  ~ModelLibrary() { *cancelled_ = true; }
  ModelLibrary(const ModelLibrary&) = delete;
  ModelLibrary& operator=(const ModelLibrary&) = delete;

  // Tells `opened` in a task of the executor, on which the library is destroyed, too.
  void Open(const std::string& path, Opened opened);

 private:
  const model::ManifestCache& manifests_;
  model::LocalFiles& local_;
  Executor& reading_;
  Executor& executor_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace potluck::coordinator
