// A Hugging Face model folder: config.json, safetensors (one file or shards with an index),
// tokenizer.json, generation_config.json, chat template.
//
// Opening checks every header and maps the rest unread. Weights are served under GGUF's names. A
// folder whose architecture Potluck doesn't run, or that has no weights, opens: what it can't give
// is an error when it is asked for. Source: docs/formats.md.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/files.h"
#include "model/bounded_json.h"
#include "model/config.h"
#include "model/safetensors/safetensors_header.h"
#include "model/weights.h"

namespace potluck::model {

// A tensor as the file lists it, under Hugging Face's name and of whatever type.
struct SafetensorsTensor {
  SafetensorsEntry entry;
  std::shared_ptr<const MappedFile> file;
};

// The files of a folder that hold everything but weights, as far as they are read.
inline constexpr std::string_view kFolderDocuments[] = {
    "config.json",           "generation_config.json", "tokenizer.json",
    "tokenizer_config.json", "chat_template.jinja",    "chat_template.json"};

// Thread-safe.
class SafetensorsFolder : public WeightSource {
 public:
  // NotFound where the folder has neither config.json nor tokenizer.json nor safetensors, or misses
  // a shard; InvalidArgument for a file that is not sound. Each names the file.
  static absl::StatusOr<std::shared_ptr<SafetensorsFolder>> Open(const std::string& path);

  // From the texts of its documents alone, by their names in kFolderDocuments; `path` stands for it
  // in errors. There are no weights.
  static absl::StatusOr<std::shared_ptr<SafetensorsFolder>> FromDocuments(
      const std::string& path, std::map<std::string, std::string> documents);

  const std::string& path() const { return path_; }
  // A document's text. NotFound where the folder has none of that name.
  absl::StatusOr<std::string> ReadDocument(std::string_view name) const;
  bool HasDocument(std::string_view name) const;
  const absl::StatusOr<ModelConfig>& config() const { return config_; }
  const Json& config_json() const { return config_json_; }  // null where there is none
  const SamplingDefaults& sampling_defaults() const { return sampling_defaults_; }
  // From chat_template.jinja, chat_template.json or tokenizer_config.json, the first that is there.
  const std::optional<std::string>& chat_template() const { return chat_template_; }
  int num_files() const { return static_cast<int>(files_.size()); }

  // Every tensor, file by file in the order of its bytes.
  std::span<const SafetensorsTensor> listed() const { return listed_; }

  // Weights under GGUF's names: fused tensors appear as their parts (model/fused_weights.h).
  const WeightTensor* Find(std::string_view name) const override;
  absl::StatusOr<const WeightTensor*> Get(std::string_view name) const override;
  std::span<const WeightTensor> tensors() const override { return weights_; }

 private:
  explicit SafetensorsFolder(std::string path) : path_(std::move(path)) {}
  std::string File(std::string_view name) const;
  bool HasFile(std::string_view name) const;
  absl::StatusOr<Json> ReadJsonDocument(std::string_view name) const;
  Pooling ReadPooling() const;
  absl::Status ReadConfigs();
  absl::Status ReadChatTemplate();
  absl::Status OpenWeights();
  absl::Status OpenShards(const Json& index);
  absl::Status OpenShard(const std::string& name);
  absl::Status MakeWeights();

  std::string path_;
  // Set where the folder is not a real one.
  std::optional<std::map<std::string, std::string, std::less<>>> documents_;
  Json config_json_;
  absl::StatusOr<ModelConfig> config_ = absl::UnknownError("not read");
  SamplingDefaults sampling_defaults_;
  std::optional<std::string> chat_template_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::vector<SafetensorsTensor> listed_;
  std::unordered_map<std::string, size_t> listed_index_;
  std::vector<WeightTensor> weights_;
  std::unordered_map<std::string_view, size_t> weights_index_;
  // GGUF's name -> place in listed_, for tensors of other types than F32, F16 and BF16.
  std::unordered_map<std::string, size_t> unsupported_;
};

}  // namespace potluck::model
