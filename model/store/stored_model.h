// A model of which this machine has a manifest and some blobs, but perhaps no file: what
// DecoderStage and Tokenizer need, as if the file were here.
//
//   1. ParseManifest; fetch store.Missing(StoredModel::CommonBlobs(manifest)), a few megabytes.
//   2. Open: config, vocabulary, chat template.
//   3. StageTensors says what a stage needs; fetch store.Missing(BlobsOf(manifest, names)).
//   4. Weights(names) for DecoderStage::Load.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/decoder/decoder_graph.h"
#include "model/decoder/decoder_stage.h"
#include "model/model_file.h"
#include "model/store/blob_store.h"
#include "model/store/manifest.h"

namespace potluck::model {

// The blobs of these tensors, in the manifest's order. NotFound for a tensor that it does not have.
absl::StatusOr<std::vector<const Blob*>> BlobsOf(const Manifest& manifest,
                                                 std::span<const std::string> names);

// Thread-safe.
class StoredModel {
 public:
  // What every holder of any layer needs: the documents, and the few small tensors that belong to
  // no layer (RoPE's factors).
  static std::vector<const Blob*> CommonBlobs(const Manifest& manifest);

  // NotFound where one of CommonBlobs is missing; else errors as OpenModelFile's, a config that is
  // none included.
  static absl::StatusOr<std::unique_ptr<StoredModel>> Open(Manifest manifest, BlobStore store);

  const Manifest& manifest() const { return manifest_; }
  // Its weights are those of CommonBlobs; `path` is the model's name.
  const ModelFile& file() const { return file_; }
  const ModelConfig& config() const { return *file_.config; }

  // The tensors that a stage asks its source for. Errors as BuildDecoder's; NotFound for one that
  // the model does not have.
  absl::StatusOr<std::vector<std::string>> StageTensors(const StageRange& range,
                                                        int64_t context_length) const;

  // What a stage takes of its device: DecoderStage::MemoryFor without the tensors' bytes. Errors as
  // BuildDecoder's; InvalidArgument where a tensor has not the shape that the config says.
  absl::StatusOr<StageMemory> MemoryFor(const StageOptions& options) const;

  // A source of these tensors and CommonBlobs', mapped, and pinned for as long as it or a tensor
  // of it lives. NotFound where a blob is missing. May outlive the model.
  absl::StatusOr<std::shared_ptr<const WeightSource>> Weights(
      std::span<const std::string> names) const;

 private:
  StoredModel(Manifest manifest, BlobStore store)
      : manifest_(std::move(manifest)), store_(std::move(store)) {}
  absl::Status ReadDocuments();

  const Manifest manifest_;
  const BlobStore store_;
  ModelFile file_;
};

}  // namespace potluck::model
