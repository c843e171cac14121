// A GGUF model: one memory-mapped file, or all the parts of a split one, as a source of weights.
//
// Opening checks the whole header and maps the rest unread. Any architecture opens, and files
// without tensors or with tensor types that Potluck doesn't compute with: what they can't give is
// an error when it is asked for. Source: docs/formats.md.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/files.h"
#include "model/gguf/gguf_header.h"
#include "model/weights.h"

namespace potluck::model {

// "PREFIX-00002-of-00005.gguf": how the parts of a split file are called, counted from 1.
struct SplitGgufName {
  std::string prefix;  // with its folder
  int number, count;
};
std::optional<SplitGgufName> ParseSplitGgufName(const std::string& path);

// A tensor as the file lists it, of whatever type.
struct GgufTensor {
  GgufTensorInfo info;
  std::shared_ptr<const MappedFile> file;  // null where only headers are there
};

// Thread-safe.
class GgufFile : public WeightSource {
 public:
  // `path` may be any part of a split file ("NAME-00002-of-00005.gguf"): all parts beside it are
  // opened. NotFound or PermissionDenied for a file that can't be read, InvalidArgument for one
  // that is not sound; each names the path.
  static absl::StatusOr<std::shared_ptr<GgufFile>> Open(const std::string& path);

  // From the headers of the model's files alone, in order; `name` stands for a path in errors.
  // There are no weights, only what is listed.
  static absl::StatusOr<std::shared_ptr<GgufFile>> FromHeaders(const std::string& name,
                                                               std::vector<std::string> headers);

  // Of the first part, which holds everything but the tensors.
  const GgufMetadata& metadata() const { return shards_.front().header.metadata; }
  uint32_t version() const { return shards_.front().header.version; }
  const std::string& path() const { return shards_.front().path; }
  int num_files() const { return static_cast<int>(shards_.size()); }

  // The header of each file, and the file; null where only headers are there.
  struct Part {
    std::span<const std::byte> header;
    std::shared_ptr<const MappedFile> file;
  };
  std::vector<Part> parts() const;

  // Every tensor in file order, as stored: fused ones whole, unsupported types included.
  std::span<const GgufTensor> listed() const { return listed_; }
  const GgufTensor* FindListed(std::string_view name) const;

  // Weights: fused tensors appear as their parts (model/fused_weights.h).
  const WeightTensor* Find(std::string_view name) const override;
  absl::StatusOr<const WeightTensor*> Get(std::string_view name) const override;
  std::span<const WeightTensor> tensors() const override { return weights_; }

 private:
  struct Shard {
    std::string path;
    std::shared_ptr<const MappedFile> file;  // else `text` holds the header alone
    std::unique_ptr<const std::string> text;
    GgufHeader header;
  };

  GgufFile() = default;
  static absl::StatusOr<Shard> OpenShard(const std::string& path);
  absl::Status OpenShards(const std::string& path);
  absl::Status CheckSplit() const;
  absl::Status ListTensors();
  void MakeWeights();

  std::vector<Shard> shards_;
  std::vector<GgufTensor> listed_;
  std::unordered_map<std::string_view, size_t> listed_index_;
  std::vector<WeightTensor> weights_;
  std::unordered_map<std::string_view, size_t> weights_index_;
};

}  // namespace potluck::model
