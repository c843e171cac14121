#include "model/store/manifest.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/bounded_json.h"
#include "model/safetensors/safetensors_folder.h"

namespace potluck::model {
namespace {

constexpr int64_t kVersion = 1;
constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxDims = 4;
// No blob, and no sum of them, comes near to overflowing.
constexpr int64_t kMaxBlobBytes = int64_t{1} << 50;

absl::Status Wrong(absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("the manifest is not sound: ", problem));
}

// ---- writing ----

Json JsonOf(const Blob& blob) {
  Json chunks = Json::array();
  for (const Sha256Digest& chunk : blob.chunks) chunks.push_back(chunk.ToHex());
  return {{"chunks", std::move(chunks)}, {"size", blob.size_bytes}};
}

// ---- reading ----

// An object with exactly these keys.
absl::Status CheckKeys(const Json& object, std::initializer_list<const char*> keys,
                       absl::string_view what) {
  if (!object.is_object()) return Wrong(absl::StrCat(what, " is no object"));
  for (const char* key : keys) {
    if (!object.contains(key)) return Wrong(absl::StrCat(what, " has no \"", key, "\""));
  }
  if (object.size() == keys.size()) return absl::OkStatus();
  return Wrong(absl::StrCat(what, " has other keys than the format's"));
}

absl::StatusOr<std::string> Name(const Json& object, const char* key, absl::string_view what) {
  std::optional<std::string> name = StringValue(FindKey(object, key));
  if (!name || name->empty() || name->size() > kMaxNameBytes || Printable(*name, 4096) != *name) {
    return Wrong(absl::StrCat(what, "'s ", key, " is no text of 1 to ", kMaxNameBytes, " bytes"));
  }
  return *std::move(name);
}

std::optional<int64_t> Integer(const Json& value, int64_t least, int64_t most) {
  const std::optional<int64_t> number = value.is_number_integer() ? IntValue(&value) : std::nullopt;
  return number && *number >= least && *number <= most ? number : std::nullopt;
}

absl::StatusOr<Blob> ReadBlob(const Json& json, absl::string_view what) {
  POTLUCK_RETURN_IF_ERROR(CheckKeys(json, {"chunks", "size"}, absl::StrCat("a blob of ", what)));
  const std::optional<int64_t> size = Integer(json["size"], 1, kMaxBlobBytes);
  if (!size) return Wrong(absl::StrCat(what, " has a blob of an impossible size"));
  const Json& list = json["chunks"];
  if (!list.is_array() || list.size() != NumChunks(*size)) {
    return Wrong(absl::StrCat(what, " has a blob of ", *size, " bytes without its ",
                              NumChunks(*size), " chunks"));
  }
  std::vector<Sha256Digest> chunks;
  for (const Json& chunk : list) {
    const auto digest = chunk.is_string()
                            ? Sha256Digest::FromHex(chunk.get_ref<const std::string&>())
                            : std::nullopt;
    if (!digest) return Wrong(absl::StrCat(what, " has a chunk whose digest is none"));
    chunks.push_back(*digest);
  }
  return BlobOfChunks(*size, std::move(chunks));
}

absl::StatusOr<ManifestDocument> ReadDocument(const Json& json) {
  POTLUCK_RETURN_IF_ERROR(CheckKeys(json, {"blob", "name"}, "a document"));
  ManifestDocument document;
  POTLUCK_ASSIGN_OR_RETURN(document.name, Name(json, "name", "a document"));
  POTLUCK_ASSIGN_OR_RETURN(document.blob,
                           ReadBlob(json["blob"], absl::StrCat("document ", document.name)));
  return document;
}

// Bytes of a tensor; nothing where type and shape don't go together or are beyond reason.
std::optional<int64_t> TensorBytes(kernels::DType dtype, const std::vector<int64_t>& shape) {
  int64_t values = 1;
  for (const int64_t size : shape) {
    if (values > kMaxBlobBytes / size) return std::nullopt;
    values *= size;
  }
  if (shape.back() % kernels::Traits(dtype).block_values != 0) return std::nullopt;
  return kernels::BytesOf(dtype, values);
}

absl::StatusOr<ManifestTensor> ReadTensor(const Json& json) {
  POTLUCK_RETURN_IF_ERROR(CheckKeys(json, {"blobs", "name", "shape", "type"}, "a tensor"));
  ManifestTensor tensor;
  POTLUCK_ASSIGN_OR_RETURN(tensor.name, Name(json, "name", "a tensor"));
  const std::string what = absl::StrCat("tensor ", tensor.name);
  const std::optional<std::string> type = StringValue(&json["type"]);
  const auto dtype = type ? kernels::WeightDTypeNamed(*type) : std::nullopt;
  if (!dtype) return Wrong(absl::StrCat(what, " is of no type that Potluck computes with"));
  tensor.dtype = *dtype;
  if (!json["shape"].is_array() || json["shape"].empty() || json["shape"].size() > kMaxDims) {
    return Wrong(absl::StrCat(what, " has no shape of 1 to ", kMaxDims, " sizes"));
  }
  for (const Json& size : json["shape"]) {
    const std::optional<int64_t> value = Integer(size, 1, kMaxBlobBytes);
    if (!value) return Wrong(absl::StrCat(what, " has an impossible size in its shape"));
    tensor.shape.push_back(*value);
  }
  const std::optional<int64_t> bytes = TensorBytes(tensor.dtype, tensor.shape);
  if (!bytes) return Wrong(absl::StrCat(what, " has a shape that does not go with its type"));
  const Json& blobs = json["blobs"];
  const bool apart = blobs.is_array() && tensor.shape.size() == 3 && blobs.size() > 1 &&
                     static_cast<int64_t>(blobs.size()) == tensor.shape[0];
  if (!blobs.is_array() || (blobs.size() != 1 && !apart)) {
    return Wrong(absl::StrCat(what, " has neither one blob nor one for each expert"));
  }
  for (const Json& blob : blobs) {
    POTLUCK_ASSIGN_OR_RETURN(Blob read, ReadBlob(blob, what));
    if (read.size_bytes != static_cast<uint64_t>(*bytes) / blobs.size()) {
      return Wrong(absl::StrCat(what, " has ", read.size_bytes, " bytes where its shape asks for ",
                                *bytes / static_cast<int64_t>(blobs.size())));
    }
    tensor.blobs.push_back(std::move(read));
  }
  return tensor;
}

absl::Status CheckDocuments(const Manifest& manifest) {
  const bool is_folder = manifest.format == kSafetensorsFormat;
  uint64_t total = 0;
  std::unordered_set<std::string_view> names;
  for (size_t i = 0; i < manifest.documents.size(); ++i) {
    const ManifestDocument& document = manifest.documents[i];
    const bool known = is_folder ? std::ranges::count(kFolderDocuments, document.name) == 1
                                 : document.name == GgufHeaderName(i);
    if (!known || !names.insert(document.name).second) {
      return Wrong(absl::StrCat("document ", document.name, " is none of a ", manifest.format,
                                " model's, or out of order"));
    }
    total += document.blob.size_bytes;
    if (total > kMaxDocumentBytes) {
      return Wrong(absl::StrCat("its documents have more than ", kMaxDocumentBytes, " bytes"));
    }
  }
  return manifest.documents.empty() ? Wrong("it has no documents") : absl::OkStatus();
}

absl::Status CheckFormat(const std::string& format) {
  if (format == kSafetensorsFormat || format == "GGUF v2" || format == "GGUF v3") {
    return absl::OkStatus();
  }
  return Wrong("its format is none of GGUF v2, GGUF v3, safetensors");
}

}  // namespace

std::string GgufHeaderName(size_t part) { return absl::StrFormat("header-%05d", part + 1); }

std::string SerializeManifest(const Manifest& manifest) {
  Json documents = Json::array(), tensors = Json::array();
  for (const ManifestDocument& document : manifest.documents) {
    documents.push_back({{"blob", JsonOf(document.blob)}, {"name", document.name}});
  }
  for (const ManifestTensor& tensor : manifest.tensors) {
    Json blobs = Json::array();
    for (const Blob& blob : tensor.blobs) blobs.push_back(JsonOf(blob));
    tensors.push_back({{"blobs", std::move(blobs)},
                       {"name", tensor.name},
                       {"shape", tensor.shape},
                       {"type", kernels::Traits(tensor.dtype).name}});
  }
  const Json json = {{"documents", std::move(documents)},
                     {"format", manifest.format},
                     {"name", manifest.name},
                     {"tensors", std::move(tensors)},
                     {"version", kVersion}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<Manifest> ParseManifest(std::string_view bytes) {
  if (bytes.size() > kMaxManifestBytes) {
    return Wrong(
        absl::StrCat("it has ", bytes.size(), " bytes; at most ", kMaxManifestBytes, " are read"));
  }
  POTLUCK_ASSIGN_OR_RETURN(const Json json, ParseJsonObject(bytes, "the manifest is not sound"));
  if (const auto version = IntValue(FindKey(json, "version")); version && *version > kVersion) {
    return absl::UnimplementedError(absl::StrCat("the manifest is of version ", *version,
                                                 " and this Potluck reads ", kVersion,
                                                 "; update it here"));
  }
  POTLUCK_RETURN_IF_ERROR(
      CheckKeys(json, {"documents", "format", "name", "tensors", "version"}, "the top"));
  Manifest manifest;
  POTLUCK_ASSIGN_OR_RETURN(manifest.name, Name(json, "name", "the model"));
  POTLUCK_ASSIGN_OR_RETURN(manifest.format, Name(json, "format", "the model"));
  POTLUCK_RETURN_IF_ERROR(CheckFormat(manifest.format));
  if (!json["documents"].is_array() || !json["tensors"].is_array()) {
    return Wrong("documents or tensors are no list");
  }
  for (const Json& document : json["documents"]) {
    POTLUCK_ASSIGN_OR_RETURN(ManifestDocument read, ReadDocument(document));
    manifest.documents.push_back(std::move(read));
  }
  POTLUCK_RETURN_IF_ERROR(CheckDocuments(manifest));
  std::unordered_set<std::string> names;
  for (const Json& tensor : json["tensors"]) {
    POTLUCK_ASSIGN_OR_RETURN(ManifestTensor read, ReadTensor(tensor));
    if (!names.insert(read.name).second) {
      return Wrong(absl::StrCat("tensor ", read.name, " is there twice"));
    }
    manifest.tensors.push_back(std::move(read));
  }
  // One model has one address: spaces, another order of keys or another spelling make none.
  if (SerializeManifest(manifest) != bytes) return Wrong("it is not in its one serialisation");
  return manifest;
}

}  // namespace potluck::model
