#include "worker/weights/kept_manifests.h"

#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "model/store/manifest.h"
#include "model/store/private_folder.h"

namespace potluck::worker {

std::string KeptManifests::PathOf(const Sha256Digest& address) const {
  return absl::StrCat(folder_, "/", address.ToHex(), ".json");
}

absl::StatusOr<std::string> KeptManifests::Read(const Sha256Digest& address) const {
  if (!folder_.empty()) {
    absl::StatusOr<std::string> bytes = ReadFile(PathOf(address), model::kMaxManifestBytes);
    if (bytes.ok() && model::ManifestAddress(*bytes) == address) return bytes;
  }
  return absl::NotFoundError(absl::StrCat("manifest ", address.ToHex(), " is not kept here"));
}

void KeptManifests::Keep(const Sha256Digest& address, const std::string& bytes) const {
  if (folder_.empty() || !model::MakePrivateFolder(folder_).ok()) return;
  WriteFileAtomically(PathOf(address), bytes).IgnoreError();
}

}  // namespace potluck::worker
