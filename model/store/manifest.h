// A manifest: a model as a list of blobs. Whoever has it can fetch any layers of the model from
// anybody and know that they are the right bytes.
//
// It has one serialisation, and its address is the SHA-256 of that. Nothing in it is believed
// because of who made it: types, shapes and sizes must agree, and config and vocabulary are read
// from the documents as they are from a file. Source: docs/formats.md, "Manifests".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/dtype.h"
#include "model/store/blob.h"

namespace potluck::model {

inline constexpr uint64_t kMaxManifestBytes = uint64_t{16} << 20;
// Of all documents together.
inline constexpr uint64_t kMaxDocumentBytes = uint64_t{256} << 20;
inline constexpr char kSafetensorsFormat[] = "safetensors";

// What config, vocabulary and chat template are read from: for GGUF the headers "header-00001",
// "header-00002", ... of its files in order, for safetensors some of kFolderDocuments.
struct ManifestDocument {
  std::string name;
  Blob blob;

  bool operator==(const ManifestDocument&) const = default;
};

// As WeightTensor (model/weights.h): one blob, or one for each expert of a stack that lies apart.
struct ManifestTensor {
  std::string name;
  kernels::DType dtype = kernels::DType::kF32;
  std::vector<int64_t> shape;
  std::vector<Blob> blobs;

  bool operator==(const ManifestTensor&) const = default;
};

struct Manifest {
  std::string name;    // of the model, for people
  std::string format;  // ModelFile's: "GGUF v2", "GGUF v3" or "safetensors"
  std::vector<ManifestDocument> documents;
  std::vector<ManifestTensor> tensors;

  bool operator==(const Manifest&) const = default;
};

std::string GgufHeaderName(size_t part);  // counted from 0

// InvalidArgument, naming the part that is wrong, for anything but a manifest in its one
// serialisation that keeps all rules above.
absl::StatusOr<Manifest> ParseManifest(std::string_view bytes);
// Of a manifest that keeps the rules; Parse gives it back.
std::string SerializeManifest(const Manifest& manifest);
inline Sha256Digest ManifestAddress(std::string_view bytes) { return Sha256(bytes); }

}  // namespace potluck::model
