// The manifests of this machine's model files, kept on disk, so that a start hashes no file that
// an earlier one has hashed: an entry holds for as long as all of the model's files have the same
// inode, size and time.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/model_file.h"
#include "model/store/indexed_manifest.h"

namespace potluck::model {

// Thread-safe, and safe beside other processes.
class ManifestCache {
 public:
  // Entries lie in `folder`, which is made, with mode 0700, when the first one is written.
  explicit ManifestCache(std::string folder) : folder_(std::move(folder)) {}

  // The model's manifest: from the disk, or made and kept. An entry that is damaged or of other
  // files is made anew; one that cannot be written costs the next start the work again, nothing
  // else.
  absl::StatusOr<IndexedManifest> Get(const ModelFile& model,
                                      const MakeManifestOptions& options) const;

  // Every sound entry whose files are as they were.
  std::vector<IndexedManifest> All() const;

 private:
  std::string folder_;
};

}  // namespace potluck::model
