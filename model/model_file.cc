#include "model/model_file.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/gguf/gguf_config.h"
#include "model/gguf/gguf_vocabulary.h"
#include "model/tokenizer/tokenizer_json.h"

namespace potluck::model {
namespace {

namespace fs = std::filesystem;

std::string NameOf(const std::string& path) {
  fs::path trimmed(path);
  if (!trimmed.has_filename()) trimmed = trimmed.parent_path();
  std::string name = trimmed.filename().string();
  if (name == "." || name == "..") {
    std::error_code error;
    const fs::path whole = fs::canonical(trimmed, error);
    if (!error) name = whole.filename().string();
  }
  if (!name.ends_with(".gguf")) return name;
  name.resize(name.size() - 5);
  if (const std::optional<SplitGgufName> split = ParseSplitGgufName(path)) {
    name = fs::path(split->prefix).filename().string();
  }
  return name;
}

// A file whose header knows fewer layers than it has tensors for would run, and write nonsense.
absl::Status CheckNoLayerIsLeftOut(const std::string& path, const WeightSource& weights,
                                   const ModelConfig& config) {
  for (const WeightTensor& tensor : weights.tensors()) {
    absl::string_view rest = tensor.name;
    int64_t layer = 0;
    const bool in_layer = absl::ConsumePrefix(&rest, "blk.") &&
                          absl::SimpleAtoi(rest.substr(0, rest.find('.')), &layer);
    if (in_layer && layer >= config.num_layers) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": tensor ", Printable(tensor.name),
                                                     " is there, but the header says that the "
                                                     "model has ",
                                                     config.num_layers,
                                                     " layers; fetch the file again"));
    }
  }
  return absl::OkStatus();
}

ModelFile Describe(std::shared_ptr<GgufFile> file, const std::string& name) {
  ModelFile model;
  model.path = file->path();
  model.name = name;
  model.format = absl::StrCat("GGUF v", file->version());
  model.config = ConfigFromGguf(*file);
  if (model.config.ok()) {
    const absl::Status all_used = CheckNoLayerIsLeftOut(file->path(), *file, *model.config);
    if (!all_used.ok()) model.config = all_used;
  }
  model.chat_template = ChatTemplateFromGguf(*file);
  model.sampling_defaults = SamplingDefaultsFromGguf(*file);
  model.num_files = file->num_files();
  for (const GgufTensor& tensor : file->listed()) model.tensor_bytes += tensor.info.size_bytes;
  model.gguf = file;
  model.weights = std::move(file);
  return model;
}

ModelFile Describe(std::shared_ptr<SafetensorsFolder> folder, const std::string& name) {
  ModelFile model;
  model.path = folder->path();
  model.name = name;
  model.format = "safetensors";
  model.config = folder->config();
  if (model.config.ok()) model.config->name = name;
  model.chat_template = folder->chat_template();
  model.sampling_defaults = folder->sampling_defaults();
  model.num_files = folder->num_files();
  for (const SafetensorsTensor& tensor : folder->listed()) {
    model.tensor_bytes += tensor.entry.size_bytes;
  }
  model.folder = folder;
  model.weights = std::move(folder);
  return model;
}

absl::StatusOr<ModelFile> OpenGguf(const std::string& path) {
  POTLUCK_ASSIGN_OR_RETURN(std::shared_ptr<GgufFile> file, GgufFile::Open(path));
  return Describe(std::move(file), NameOf(path));
}

// The GGUF models in a folder, sorted, each split one by its first part. Projectors of picture
// models ("mmproj-...") are no models of their own.
absl::StatusOr<std::vector<std::string>> GgufModelsIn(const std::string& folder) {
  std::vector<std::string> models;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) {
    return absl::Status(absl::ErrnoToStatusCode(error.value()),
                        absl::StrCat("cannot read the folder ", folder, ": ", error.message()));
  }
  for (const fs::directory_iterator end; entries != end; entries.increment(error)) {
    const std::string path = entries->path().string();
    if (!path.ends_with(".gguf")) continue;
    if (entries->path().filename().string().starts_with("mmproj")) continue;
    const std::optional<SplitGgufName> split = ParseSplitGgufName(path);
    if (split && split->number != 1) continue;
    models.push_back(path);
    if (error) break;
  }
  std::sort(models.begin(), models.end());
  return models;
}

absl::StatusOr<ModelFile> OpenFolder(const std::string& path) {
  std::error_code error;
  const bool has_config = fs::exists(fs::path(path) / "config.json", error);
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<std::string> ggufs, GgufModelsIn(path));
  const bool has_safetensors = fs::exists(fs::path(path) / "model.safetensors", error) ||
                               fs::exists(fs::path(path) / "model.safetensors.index.json", error);
  if (ggufs.size() == 1 && !has_safetensors) return OpenGguf(ggufs.front());
  if (ggufs.size() > 1 && !has_safetensors) {
    std::vector<std::string> names;
    for (const std::string& gguf : ggufs) names.push_back(fs::path(gguf).filename().string());
    constexpr size_t kMaxNames = 8;
    const bool more = names.size() > kMaxNames;
    if (more) names.resize(kMaxNames);
    return absl::InvalidArgumentError(
        absl::StrCat(path, " holds several models: ", Printable(absl::StrJoin(names, ", "), 400),
                     more ? ", ..." : "", "; name one of them"));
  }
  if (!has_config && has_safetensors) {
    return absl::NotFoundError(absl::StrCat(
        path, " has no config.json, which says what model it is; fetch the folder again"));
  }
  POTLUCK_ASSIGN_OR_RETURN(std::shared_ptr<SafetensorsFolder> folder,
                           SafetensorsFolder::Open(path));
  return Describe(std::move(folder), NameOf(path));
}

// Objects inside objects become dotted keys; lists stay one value.
void FlattenJson(const Json& object, const std::string& prefix, std::vector<MetadataLine>& lines) {
  for (const auto& [key, value] : object.items()) {
    const std::string name = absl::StrCat(prefix, Printable(key));
    if (value.is_object() && !value.empty()) {
      FlattenJson(value, name + ".", lines);
      continue;
    }
    const std::string text = value.is_string()
                                 ? value.get_ref<const std::string&>()
                                 : value.dump(-1, ' ', false, Json::error_handler_t::replace);
    lines.push_back({name, Printable(text)});
  }
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

}  // namespace

absl::StatusOr<ModelFile> OpenModelFile(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) return OpenFolder(path);
  if (path.ends_with(".safetensors")) {
    const std::string folder = fs::path(path).parent_path().string();
    return absl::InvalidArgumentError(absl::StrCat(path, " is a part of a model; name its folder, ",
                                                   folder.empty() ? "." : folder, ", instead"));
  }
  return OpenGguf(path);
}

absl::StatusOr<ModelFile> ModelFileFromHeaders(const std::string& name,
                                               std::vector<std::string> headers) {
  POTLUCK_ASSIGN_OR_RETURN(std::shared_ptr<GgufFile> file,
                           GgufFile::FromHeaders(name, std::move(headers)));
  return Describe(std::move(file), name);
}

absl::StatusOr<ModelFile> ModelFileFromDocuments(const std::string& name,
                                                 std::map<std::string, std::string> documents) {
  POTLUCK_ASSIGN_OR_RETURN(std::shared_ptr<SafetensorsFolder> folder,
                           SafetensorsFolder::FromDocuments(name, std::move(documents)));
  return Describe(std::move(folder), name);
}

absl::Status InFile(const absl::Status& status, const std::string& path) {
  const bool about_file = absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
                          absl::IsUnimplemented(status) || absl::IsDataLoss(status);
  return about_file && !absl::StrContains(status.message(), path) ? Annotate(status, path) : status;
}

absl::StatusOr<Vocabulary> ReadVocabulary(const ModelFile& model) {
  if (model.gguf != nullptr) return VocabularyFromGguf(*model.gguf);
  const SafetensorsFolder& folder = *model.folder;
  if (!folder.HasDocument("tokenizer.json")) {
    return absl::NotFoundError(absl::StrCat(
        folder.path(),
        " has no tokenizer.json, which holds the vocabulary; fetch it into the folder"));
  }
  POTLUCK_ASSIGN_OR_RETURN(const std::string tokenizer, folder.ReadDocument("tokenizer.json"));
  std::string config;
  if (folder.HasDocument("tokenizer_config.json")) {
    POTLUCK_ASSIGN_OR_RETURN(config, folder.ReadDocument("tokenizer_config.json"));
  }
  auto vocabulary = VocabularyFromTokenizerJson(tokenizer, config);
  if (!vocabulary.ok()) return Annotate(vocabulary.status(), folder.path());
  return vocabulary;
}

std::vector<MetadataLine> ListMetadata(const ModelFile& model) {
  std::vector<MetadataLine> lines;
  if (model.gguf != nullptr) {
    for (const GgufMetadata::Entry& entry : model.gguf->metadata().entries()) {
      lines.push_back({Printable(entry.key), entry.value.ToString()});
    }
  } else if (model.folder->config_json().is_object()) {
    FlattenJson(model.folder->config_json(), "", lines);
  }
  return lines;
}

std::vector<TensorLine> ListTensors(const ModelFile& model) {
  std::vector<TensorLine> lines;
  if (model.gguf != nullptr) {
    for (const GgufTensor& tensor : model.gguf->listed()) {
      lines.push_back({Printable(tensor.info.name), std::string(tensor.info.type->name),
                       tensor.info.shape, tensor.info.size_bytes,
                       tensor.file != nullptr ? tensor.file->path() : model.path});
    }
    return lines;
  }
  for (const SafetensorsTensor& tensor : model.folder->listed()) {
    lines.push_back({Printable(tensor.entry.name), LowerCase(tensor.entry.dtype),
                     tensor.entry.shape, tensor.entry.size_bytes, tensor.file->path()});
  }
  return lines;
}

}  // namespace potluck::model
