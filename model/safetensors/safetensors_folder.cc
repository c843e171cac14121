#include "model/safetensors/safetensors_folder.h"

#include <filesystem>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/fused_weights.h"
#include "model/safetensors/hf_config.h"
#include "model/safetensors/hf_names.h"

namespace potluck::model {
namespace {

constexpr uint64_t kMaxIndexBytes = uint64_t{32} << 20;

std::optional<kernels::DType> WeightType(std::string_view dtype) {
  if (dtype == "F32") return kernels::DType::kF32;
  if (dtype == "F16") return kernels::DType::kF16;
  if (dtype == "BF16") return kernels::DType::kBF16;
  return std::nullopt;
}

uint64_t MaxDocumentBytes(std::string_view name) {
  if (name == "tokenizer.json") return uint64_t{96} << 20;
  if (name == "tokenizer_config.json") return uint64_t{32} << 20;
  return uint64_t{4} << 20;
}

// A template as text, or the one called "default" (else the first) of a list of named ones.
std::optional<std::string> TemplateIn(const Json* value) {
  if (value == nullptr || !value->is_array()) return StringValue(value);
  std::optional<std::string> first;
  for (const Json& named : *value) {
    const std::optional<std::string> text = StringValue(FindKey(named, "template"));
    if (!text) continue;
    if (StringValue(FindKey(named, "name")) == "default") return text;
    if (!first) first = text;
  }
  return first;
}

// A shard's name must be a plain file name: an index must not reach outside its folder.
bool IsPlainName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

}  // namespace

std::string SafetensorsFolder::File(std::string_view name) const {
  return absl::StrCat(path_, path_.ends_with('/') ? "" : "/", ToAbsl(name));
}

bool SafetensorsFolder::HasFile(std::string_view name) const {
  std::error_code error;
  return std::filesystem::exists(File(name), error);
}

bool SafetensorsFolder::HasDocument(std::string_view name) const {
  return documents_ ? documents_->contains(name) : HasFile(name);
}

absl::StatusOr<std::string> SafetensorsFolder::ReadDocument(std::string_view name) const {
  if (!documents_) return ReadFile(File(name), MaxDocumentBytes(name));
  const auto found = documents_->find(name);
  if (found != documents_->end()) return found->second;
  return absl::NotFoundError(absl::StrCat(path_, " has no ", ToAbsl(name)));
}

absl::StatusOr<Json> SafetensorsFolder::ReadJsonDocument(std::string_view name) const {
  POTLUCK_ASSIGN_OR_RETURN(const std::string text, ReadDocument(name));
  return ParseJsonObject(text, File(name));
}

Pooling SafetensorsFolder::ReadPooling() const {
  constexpr char kName[] = "1_Pooling/config.json";
  Json pooling;
  if (!documents_ && HasFile(kName)) {
    const absl::StatusOr<std::string> text = ReadFile(File(kName), MaxDocumentBytes(kName));
    auto json =
        text.ok() ? ParseJsonObject(*text, File(kName)) : absl::StatusOr<Json>(text.status());
    if (!json.ok()) return Pooling::kOther;  // it still chats
    pooling = *std::move(json);
  }
  return PoolingFromHf(pooling, config_json_);
}

absl::Status SafetensorsFolder::ReadConfigs() {
  if (HasDocument("config.json")) {
    POTLUCK_ASSIGN_OR_RETURN(config_json_, ReadJsonDocument("config.json"));
    config_ = ConfigFromHf(config_json_);
    if (!config_.ok()) config_ = Annotate(config_.status(), File("config.json"));
    if (config_.ok()) {
      config_->name = std::filesystem::path(path_).filename().string();
      config_->pooling = ReadPooling();
    }
  } else {
    config_ = absl::NotFoundError(absl::StrCat(
        path_, " has no config.json, which says what model it is; fetch the folder again"));
  }
  Json generation;
  if (HasDocument("generation_config.json")) {
    POTLUCK_ASSIGN_OR_RETURN(generation, ReadJsonDocument("generation_config.json"));
  }
  sampling_defaults_ = SamplingDefaultsFromHf(generation, config_json_);
  return absl::OkStatus();
}

absl::Status SafetensorsFolder::ReadChatTemplate() {
  if (HasDocument("chat_template.jinja")) {
    POTLUCK_ASSIGN_OR_RETURN(chat_template_, ReadDocument("chat_template.jinja"));
    return absl::OkStatus();
  }
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    if (!HasDocument(name)) continue;
    POTLUCK_ASSIGN_OR_RETURN(const Json json, ReadJsonDocument(name));
    chat_template_ = TemplateIn(FindKey(json, "chat_template"));
    if (chat_template_) return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status SafetensorsFolder::OpenShard(const std::string& name) {
  POTLUCK_ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> file, MappedFile::Open(File(name)));
  absl::StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(file->bytes());
  if (!header.ok()) return Annotate(header.status(), file->path());
  for (SafetensorsEntry& entry : header->tensors) {
    if (!listed_index_.emplace(entry.name, listed_.size()).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          file->path(), ": tensor \"", Printable(entry.name), "\" is in another shard, too"));
    }
    listed_.push_back({std::move(entry), file});
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::Status SafetensorsFolder::OpenShards(const Json& index) {
  const std::string index_path = File("model.safetensors.index.json");
  const Json* map = FindKey(index, "weight_map");
  if (map == nullptr || !map->is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(index_path, ": weight_map, which says where each tensor is, is missing"));
  }
  std::set<std::string> names;
  for (const auto& [tensor, shard] : map->items()) {
    const std::optional<std::string> name = StringValue(&shard);
    if (!name || !IsPlainName(*name)) {
      return absl::InvalidArgumentError(absl::StrCat(index_path, ": tensor \"", Printable(tensor),
                                                     "\" is not in a file of this folder"));
    }
    names.insert(*name);
  }
  for (const std::string& name : names) POTLUCK_RETURN_IF_ERROR(OpenShard(name));
  for (const auto& [tensor, shard] : map->items()) {
    const auto found = listed_index_.find(tensor);
    const std::string expected = File(shard.get_ref<const std::string&>());
    if (found == listed_index_.end() || listed_[found->second].file->path() != expected) {
      return absl::InvalidArgumentError(absl::StrCat(index_path, ": tensor \"", Printable(tensor),
                                                     "\" is not in ", Printable(expected),
                                                     "; index and shards are of different models"));
    }
  }
  return absl::OkStatus();
}

absl::Status SafetensorsFolder::OpenWeights() {
  if (HasFile("model.safetensors")) return OpenShard("model.safetensors");
  if (!HasFile("model.safetensors.index.json")) return absl::OkStatus();
  POTLUCK_ASSIGN_OR_RETURN(const Json index,
                           ReadJsonObject(File("model.safetensors.index.json"), kMaxIndexBytes));
  return OpenShards(index);
}

absl::Status SafetensorsFolder::MakeWeights() {
  const std::string architecture = config_.ok() ? config_->architecture : "";
  std::unordered_map<std::string, size_t> origin;
  for (size_t i = 0; i < listed_.size(); ++i) {
    const SafetensorsEntry& entry = listed_[i].entry;
    std::optional<std::string> name = GgufTensorName(entry.name, architecture);
    if (!name) continue;
    if (const auto [first, added] = origin.emplace(*name, i); !added) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": tensors \"", Printable(listed_[first->second].entry.name),
                       "\" and \"", Printable(entry.name), "\" are both the model's ", *name));
    }
    const std::optional<kernels::DType> dtype = WeightType(entry.dtype);
    if (!dtype) {
      unsupported_.emplace(*name, i);
      continue;
    }
    if (entry.size_bytes == 0) continue;
    WeightTensor weight;
    weight.name = *std::move(name);
    weight.dtype = *dtype;
    weight.shape = entry.shape.empty() ? std::vector<int64_t>{1} : entry.shape;
    weight.bytes = listed_[i].file->bytes().subspan(entry.offset, entry.size_bytes);
    weight.file = listed_[i].file;
    weights_.push_back(std::move(weight));
  }
  if (config_.ok()) SplitFusedWeights(*config_, weights_);
  for (size_t i = 0; i < weights_.size(); ++i) weights_index_.emplace(weights_[i].name, i);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<SafetensorsFolder>> SafetensorsFolder::Open(
    const std::string& path) {
  std::shared_ptr<SafetensorsFolder> folder(new SafetensorsFolder(path));
  bool any = false;
  for (const char* name :
       {"config.json", "tokenizer.json", "model.safetensors", "model.safetensors.index.json"}) {
    any = any || folder->HasFile(name);
  }
  if (!any) {
    return absl::NotFoundError(absl::StrCat(
        path,
        " is not a model folder: it has no config.json, tokenizer.json or model.safetensors"));
  }
  POTLUCK_RETURN_IF_ERROR(folder->ReadConfigs());
  POTLUCK_RETURN_IF_ERROR(folder->ReadChatTemplate());
  POTLUCK_RETURN_IF_ERROR(folder->OpenWeights());
  POTLUCK_RETURN_IF_ERROR(folder->MakeWeights());
  return folder;
}

absl::StatusOr<std::shared_ptr<SafetensorsFolder>> SafetensorsFolder::FromDocuments(
    const std::string& path, std::map<std::string, std::string> documents) {
  std::shared_ptr<SafetensorsFolder> folder(new SafetensorsFolder(path));
  folder->documents_.emplace();
  for (const std::string_view name : kFolderDocuments) {
    const auto found = documents.find(std::string(name));
    if (found != documents.end()) folder->documents_->emplace(name, std::move(found->second));
  }
  POTLUCK_RETURN_IF_ERROR(folder->ReadConfigs());
  POTLUCK_RETURN_IF_ERROR(folder->ReadChatTemplate());
  return folder;
}

const WeightTensor* SafetensorsFolder::Find(std::string_view name) const {
  const auto found = weights_index_.find(name);
  return found == weights_index_.end() ? nullptr : &weights_[found->second];
}

absl::StatusOr<const WeightTensor*> SafetensorsFolder::Get(std::string_view name) const {
  if (const WeightTensor* tensor = Find(name)) return tensor;
  if (const auto found = unsupported_.find(std::string(name)); found != unsupported_.end()) {
    const SafetensorsTensor& tensor = listed_[found->second];
    return absl::UnimplementedError(absl::StrCat(
        tensor.file->path(), ": tensor ", Printable(tensor.entry.name), " is stored as ",
        ToAbsl(tensor.entry.dtype), "; supported are F32, F16 and BF16"));
  }
  if (!listed_.empty()) {
    return absl::NotFoundError(absl::StrCat(path_, " has no tensor ", ToAbsl(name)));
  }
  if (HasFile("model.safetensors") || HasFile("model.safetensors.index.json")) {
    return absl::NotFoundError(
        absl::StrCat(path_, ": the safetensors files hold no tensors; fetch them again"));
  }
  return absl::NotFoundError(absl::StrCat(
      path_, " has no weights: model.safetensors or model.safetensors.index.json is missing",
      HasFile("pytorch_model.bin") || HasFile("pytorch_model.bin.index.json")
          ? " (pytorch_model.bin is not read; convert it to safetensors)"
          : ""));
}

}  // namespace potluck::model
