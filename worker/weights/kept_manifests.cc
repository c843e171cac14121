#include "worker/weights/kept_manifests.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "model/store/indexed_manifest.h"
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

int KeptManifests::RemoveAllWithout(const std::unordered_set<Sha256Digest>& blobs) const {
  int removed = 0;
  std::error_code error;
  std::filesystem::directory_iterator entries(folder_, error);
  for (const std::filesystem::directory_iterator end; !error && entries != end;
       entries.increment(error)) {
    const auto address = Sha256Digest::FromHex(entries->path().stem().string());
    if (!address || entries->path() != PathOf(*address)) continue;  // a stranger's
    const absl::StatusOr<std::string> bytes = Read(*address);
    const auto manifest = bytes.ok() ? model::ParseManifest(*bytes) : bytes.status();
    const bool is_needed =
        manifest.ok() && std::ranges::any_of(model::AllBlobs(*manifest), [&](const auto* blob) {
          return blobs.contains(blob->id);
        });
    std::error_code not_removed;
    if (!is_needed && std::filesystem::remove(entries->path(), not_removed)) ++removed;
  }
  return removed;
}

}  // namespace potluck::worker
