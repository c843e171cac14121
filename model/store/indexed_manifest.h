// A manifest of a model that this machine has in files, and where in them each blob lies.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/files.h"
#include "model/model_file.h"
#include "model/store/manifest.h"

namespace potluck::model {

struct SourceFile {
  std::string path;  // absolute
  FileIdentity identity;

  bool operator==(const SourceFile&) const = default;
};

struct BlobPlace {
  uint32_t file = 0;  // in IndexedManifest::files
  uint64_t offset = 0;

  bool operator==(const BlobPlace&) const = default;
};

struct IndexedManifest {
  Manifest manifest;
  std::string bytes;  // serialised
  Sha256Digest address;
  std::vector<SourceFile> files;
  std::vector<BlobPlace> places;  // of AllBlobs(manifest), in its order
};

// The model's name, fit for a manifest.
std::string ManifestName(const ModelFile& model);

// Documents first, then tensors; a blob that is there twice comes twice.
std::vector<const Blob*> AllBlobs(const Manifest& manifest);

struct MakeManifestOptions {
  int num_threads = 1;
  std::function<void(double)> on_progress;  // 0 to 1, on the calling thread
  std::function<bool()> cancelled;          // asked on the calling thread
};

// The files that a model's bytes are read from: weights, then documents.
absl::StatusOr<std::vector<SourceFile>> SourceFilesOf(const ModelFile& model);

// Reads every byte of the model's weights once, and drops the mapped pages behind itself. A model
// that Potluck does not run is its config's error. Cancelled; Aborted where a file was changed
// meanwhile.
absl::StatusOr<IndexedManifest> MakeManifest(const ModelFile& model,
                                             const MakeManifestOptions& options);

}  // namespace potluck::model
