#include "model/store/stored_model.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::model {
namespace {

// "rope_freqs.weight", "rope_factors_long.weight": of no layer, small, needed by every stage.
bool IsCommon(const ManifestTensor& tensor) { return tensor.name.starts_with("rope_"); }

class StoredWeights : public WeightSource {
 public:
  StoredWeights(std::string model_name, std::vector<WeightTensor> tensors)
      : model_name_(std::move(model_name)), tensors_(std::move(tensors)) {
    for (size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
  }

  const WeightTensor* Find(std::string_view name) const override {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &tensors_[found->second];
  }
  absl::StatusOr<const WeightTensor*> Get(std::string_view name) const override {
    if (const WeightTensor* tensor = Find(name)) return tensor;
    return absl::NotFoundError(
        absl::StrCat(model_name_, ": tensor ", ToAbsl(name), " is not among those at hand"));
  }
  std::span<const WeightTensor> tensors() const override { return tensors_; }

 private:
  const std::string model_name_;
  const std::vector<WeightTensor> tensors_;
  std::unordered_map<std::string_view, size_t> index_;
};

absl::StatusOr<std::vector<const ManifestTensor*>> TensorsNamed(
    const Manifest& manifest, std::span<const std::string> names) {
  std::unordered_set<std::string_view> wanted(names.begin(), names.end());
  std::vector<const ManifestTensor*> tensors;
  for (const ManifestTensor& tensor : manifest.tensors) {
    if (wanted.erase(tensor.name) > 0) tensors.push_back(&tensor);
  }
  if (wanted.empty()) return tensors;
  return absl::NotFoundError(
      absl::StrCat(manifest.name, " has no tensor ", Printable(*wanted.begin())));
}

// The tensors' bytes, as a source.
absl::StatusOr<std::shared_ptr<const WeightSource>> MapTensors(
    const std::string& model_name, const BlobStore& store,
    std::span<const ManifestTensor* const> tensors) {
  std::vector<const Blob*> blobs;
  for (const ManifestTensor* tensor : tensors) {
    for (const Blob& blob : tensor->blobs) blobs.push_back(&blob);
  }
  absl::StatusOr<std::vector<WeightBytes>> mapped = store.Map(blobs);
  if (!mapped.ok()) return Annotate(mapped.status(), model_name);
  std::vector<WeightTensor> weights;
  auto next = mapped->begin();
  for (const ManifestTensor* tensor : tensors) {
    WeightTensor weight{.name = tensor->name, .dtype = tensor->dtype, .shape = tensor->shape};
    if (tensor->blobs.size() == 1) {
      weight.bytes = next->bytes;
      weight.file = std::move(next->file);
      ++next;
    } else {
      for (size_t i = 0; i < tensor->blobs.size(); ++i) weight.experts.push_back(*next++);
    }
    weights.push_back(std::move(weight));
  }
  return std::make_shared<const StoredWeights>(model_name, std::move(weights));
}

}  // namespace

absl::StatusOr<std::vector<const Blob*>> BlobsOf(const Manifest& manifest,
                                                 std::span<const std::string> names) {
  POTLUCK_ASSIGN_OR_RETURN(const auto tensors, TensorsNamed(manifest, names));
  std::vector<const Blob*> blobs;
  for (const ManifestTensor* tensor : tensors) {
    for (const Blob& blob : tensor->blobs) blobs.push_back(&blob);
  }
  return blobs;
}

std::vector<const Blob*> StoredModel::CommonBlobs(const Manifest& manifest) {
  std::vector<const Blob*> blobs;
  for (const ManifestDocument& document : manifest.documents) blobs.push_back(&document.blob);
  for (const ManifestTensor& tensor : manifest.tensors) {
    if (IsCommon(tensor)) blobs.push_back(&tensor.blobs.front());
  }
  return blobs;
}

absl::StatusOr<std::unique_ptr<StoredModel>> StoredModel::Open(Manifest manifest, BlobStore store) {
  std::unique_ptr<StoredModel> model(new StoredModel(std::move(manifest), std::move(store)));
  POTLUCK_RETURN_IF_ERROR(model->ReadDocuments());
  POTLUCK_RETURN_IF_ERROR(model->file_.config.status());
  std::vector<const ManifestTensor*> common;
  for (const ManifestTensor& tensor : model->manifest_.tensors) {
    if (IsCommon(tensor)) common.push_back(&tensor);
  }
  POTLUCK_ASSIGN_OR_RETURN(model->file_.weights,
                           MapTensors(model->manifest_.name, model->store_, common));
  return model;
}

absl::Status StoredModel::ReadDocuments() {
  std::vector<const Blob*> blobs;
  for (const ManifestDocument& document : manifest_.documents) blobs.push_back(&document.blob);
  absl::StatusOr<std::vector<WeightBytes>> mapped = store_.Map(blobs);
  if (!mapped.ok()) return Annotate(mapped.status(), manifest_.name);
  std::vector<std::string> texts;
  for (const WeightBytes& document : *mapped) {
    texts.emplace_back(reinterpret_cast<const char*>(document.bytes.data()), document.bytes.size());
  }
  if (manifest_.format == kSafetensorsFormat) {
    std::map<std::string, std::string> documents;
    for (size_t i = 0; i < texts.size(); ++i) {
      documents.emplace(manifest_.documents[i].name, std::move(texts[i]));
    }
    POTLUCK_ASSIGN_OR_RETURN(file_, ModelFileFromDocuments(manifest_.name, std::move(documents)));
  } else {
    POTLUCK_ASSIGN_OR_RETURN(file_, ModelFileFromHeaders(manifest_.name, std::move(texts)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> StoredModel::StageTensors(const StageRange& range,
                                                                   int64_t context_length) const {
  POTLUCK_ASSIGN_OR_RETURN(const DecoderGraph decoder,
                           BuildDecoder(config(), range, *file_.weights, context_length));
  std::vector<std::string> names;
  for (const WeightSpec& weight : decoder.graph.weights) names.push_back(weight.name);
  for (const VectorSpec& vector : decoder.graph.vectors) names.push_back(vector.name);
  POTLUCK_RETURN_IF_ERROR(TensorsNamed(manifest_, names).status());
  return names;
}

absl::StatusOr<StageMemory> StoredModel::MemoryFor(const StageOptions& options) const {
  POTLUCK_ASSIGN_OR_RETURN(
      const DecoderGraph decoder,
      BuildDecoder(config(), options.range, *file_.weights, options.context_length));
  std::unordered_map<std::string_view, const ManifestTensor*> tensors;
  for (const ManifestTensor& tensor : manifest_.tensors) tensors.emplace(tensor.name, &tensor);
  int64_t weight_bytes = 0;
  for (const WeightSpec& weight : decoder.graph.weights) {
    const auto tensor = tensors.find(weight.name);
    std::vector<int64_t> shape = {weight.rows, weight.cols};
    if (weight.num_experts > 0) shape.insert(shape.begin(), weight.num_experts);
    if (tensor == tensors.end() || tensor->second->shape != shape) {
      return absl::InvalidArgumentError(
          absl::StrCat(manifest_.name, " has no tensor ", weight.name, " of the config's shape"));
    }
    for (const Blob& blob : tensor->second->blobs)
      weight_bytes += static_cast<int64_t>(blob.size_bytes);
  }
  StageMemory memory = DecoderStage::MemoryBesideWeights(config(), decoder, options);
  memory.weight_bytes = weight_bytes;
  return memory;
}

absl::StatusOr<std::shared_ptr<const WeightSource>> StoredModel::Weights(
    std::span<const std::string> names) const {
  std::vector<std::string> all(names.begin(), names.end());
  for (const WeightTensor& tensor : file_.weights->tensors()) all.push_back(tensor.name);
  POTLUCK_ASSIGN_OR_RETURN(const auto tensors, TensorsNamed(manifest_, all));
  return MapTensors(manifest_.name, store_, tensors);
}

}  // namespace potluck::model
