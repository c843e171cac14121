#include "model/gguf/gguf_file.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/fused_weights.h"
#include "model/gguf/gguf_config.h"

namespace potluck::model {
namespace {

constexpr std::string_view kSplitPattern = "-#####-of-#####.gguf";

std::string SplitPath(const SplitGgufName& name, int number) {
  return absl::StrFormat("%s-%05d-of-%05d.gguf", name.prefix, number, name.count);
}

}  // namespace

std::optional<SplitGgufName> ParseSplitGgufName(const std::string& path) {
  if (path.size() <= kSplitPattern.size()) return std::nullopt;
  const size_t start = path.size() - kSplitPattern.size();
  for (size_t i = 0; i < kSplitPattern.size(); ++i) {
    const char have = path[start + i];
    const bool fits =
        kSplitPattern[i] == '#' ? have >= '0' && have <= '9' : have == kSplitPattern[i];
    if (!fits) return std::nullopt;
  }
  return SplitGgufName{path.substr(0, start), std::stoi(path.substr(start + 1, 5)),
                       std::stoi(path.substr(start + 10, 5))};
}

absl::StatusOr<GgufFile::Shard> GgufFile::OpenShard(const std::string& path) {
  POTLUCK_ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  absl::StatusOr<GgufHeader> header = ParseGgufHeader(file->bytes());
  if (!header.ok()) return Annotate(header.status(), path);
  return Shard{path, std::move(file), nullptr, *std::move(header)};
}

absl::Status GgufFile::OpenShards(const std::string& path) {
  POTLUCK_ASSIGN_OR_RETURN(Shard opened, OpenShard(path));
  int64_t count = 1;
  if (opened.header.metadata.Find("split.count") != nullptr) {
    const absl::StatusOr<int64_t> value = opened.header.metadata.Int("split.count");
    if (!value.ok()) return Annotate(value.status(), path);
    count = *value;
  }
  // llama.cpp's tools write 0 or 1 into files that were never split.
  if (count == 0 || count == 1) {
    shards_.push_back(std::move(opened));
    return absl::OkStatus();
  }
  const std::optional<SplitGgufName> name = ParseSplitGgufName(path);
  if (!name || name->count != count) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": one of ", count, " parts (split.count), so its name must end in -00001-of-",
        absl::StrFormat("%05d", count), ".gguf or the like; give it its name back"));
  }
  for (int i = 1; i <= name->count; ++i) {
    absl::StatusOr<Shard> shard = OpenShard(SplitPath(*name, i));
    if (!shard.ok()) {
      return Annotate(shard.status(),
                      absl::StrCat("part ", i, " of the ", count, " that belong together"));
    }
    shards_.push_back(*std::move(shard));
  }
  return CheckSplit();
}

absl::Status GgufFile::CheckSplit() const {
  uint64_t num_tensors = 0;
  for (const Shard& shard : shards_) num_tensors += shard.header.tensors.size();
  for (size_t i = 0; i < shards_.size(); ++i) {
    const GgufMetadata& metadata = shards_[i].header.metadata;
    const std::pair<const char*, uint64_t> expected[] = {
        {"split.no", i}, {"split.count", shards_.size()}, {"split.tensors.count", num_tensors}};
    for (const auto& [key, value] : expected) {
      const absl::StatusOr<int64_t> found = metadata.Int(key);
      if (!found.ok()) return Annotate(found.status(), shards_[i].path);
      if (static_cast<uint64_t>(*found) != value) {
        return absl::InvalidArgumentError(
            absl::StrCat(shards_[i].path, ": ", key, " is ", *found, " where the ", shards_.size(),
                         " parts together make ", value, "; they are not parts of one model"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status GgufFile::ListTensors() {
  for (const Shard& shard : shards_) {
    for (const GgufTensorInfo& info : shard.header.tensors) {
      if (!listed_index_.emplace(info.name, listed_.size()).second) {
        return absl::InvalidArgumentError(
            absl::StrCat(shard.path, ": tensor ", ToAbsl(info.name), " is in another part, too"));
      }
      listed_.push_back({info, shard.file});
    }
  }
  return absl::OkStatus();
}

void GgufFile::MakeWeights() {
  for (const GgufTensor& tensor : listed_) {
    if (tensor.file == nullptr) continue;
    const std::optional<kernels::DType> dtype = kernels::DTypeFromGguf(tensor.info.type->number);
    if (!dtype) continue;
    WeightTensor weight;
    weight.name = std::string(tensor.info.name);
    weight.dtype = *dtype;
    weight.shape = tensor.info.shape;
    weight.bytes = tensor.file->bytes().subspan(tensor.info.offset, tensor.info.size_bytes);
    weight.file = tensor.file;
    weights_.push_back(std::move(weight));
  }
  // Only the architectures that Potluck runs have parts that are asked for by name.
  const absl::StatusOr<ModelConfig> config = ConfigFromGguf(*this);
  if (config.ok()) SplitFusedWeights(*config, weights_);
  for (size_t i = 0; i < weights_.size(); ++i) weights_index_.emplace(weights_[i].name, i);
}

absl::StatusOr<std::shared_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  std::shared_ptr<GgufFile> file(new GgufFile());
  POTLUCK_RETURN_IF_ERROR(file->OpenShards(path));
  POTLUCK_RETURN_IF_ERROR(file->ListTensors());
  file->MakeWeights();
  return file;
}

absl::StatusOr<std::shared_ptr<GgufFile>> GgufFile::FromHeaders(const std::string& name,
                                                                std::vector<std::string> headers) {
  std::shared_ptr<GgufFile> file(new GgufFile());
  for (std::string& text : headers) {
    auto kept = std::make_unique<const std::string>(std::move(text));
    absl::StatusOr<GgufHeader> header =
        ParseGgufHeaderAlone(std::as_bytes(std::span(kept->data(), kept->size())));
    if (!header.ok()) return Annotate(header.status(), name);
    file->shards_.push_back({name, nullptr, std::move(kept), *std::move(header)});
  }
  if (file->shards_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(name, " has no GGUF header"));
  }
  if (file->shards_.size() > 1) POTLUCK_RETURN_IF_ERROR(file->CheckSplit());
  POTLUCK_RETURN_IF_ERROR(file->ListTensors());
  return file;
}

std::vector<GgufFile::Part> GgufFile::parts() const {
  std::vector<Part> parts;
  for (const Shard& shard : shards_) {
    const auto bytes = shard.file != nullptr
                           ? shard.file->bytes()
                           : std::as_bytes(std::span(shard.text->data(), shard.text->size()));
    parts.push_back({bytes.first(shard.header.size_bytes), shard.file});
  }
  return parts;
}

const GgufTensor* GgufFile::FindListed(std::string_view name) const {
  const auto found = listed_index_.find(name);
  return found == listed_index_.end() ? nullptr : &listed_[found->second];
}

const WeightTensor* GgufFile::Find(std::string_view name) const {
  const auto found = weights_index_.find(name);
  return found == weights_index_.end() ? nullptr : &weights_[found->second];
}

absl::StatusOr<const WeightTensor*> GgufFile::Get(std::string_view name) const {
  if (const WeightTensor* tensor = Find(name)) return tensor;
  const GgufTensor* listed = FindListed(name);
  if (listed == nullptr) {
    return absl::NotFoundError(absl::StrCat(path(), " has no tensor ", ToAbsl(name)));
  }
  if (listed->file == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(path(), ": tensor ", ToAbsl(name), " is not at hand, only the header is"));
  }
  return absl::UnimplementedError(absl::StrCat(listed->file->path(), ": tensor ", ToAbsl(name),
                                               " is stored as ", ToAbsl(listed->info.type->name),
                                               "; supported are ", SupportedTypeNames()));
}

}  // namespace potluck::model
