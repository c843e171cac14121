// Blobs that this machine has in model files of its own: found by content, whatever the file is
// called and whoever asks, and used where they lie instead of being fetched and copied.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "common/files.h"
#include "common/mutex.h"
#include "model/store/indexed_manifest.h"
#include "model/weights.h"

namespace potluck::model {

// Thread-safe. A file that was changed since its manifest was made has no blobs any more.
class LocalFiles {
 public:
  void Add(const IndexedManifest& indexed);

  bool Has(const Blob& blob) const;
  // Mapped; NotFound where no unchanged file holds it.
  absl::StatusOr<WeightBytes> Map(const Blob& blob);
  // As BlobCache::ReadChunk.
  absl::StatusOr<uint64_t> ReadChunk(const Sha256Digest& id, uint64_t index,
                                     std::span<std::byte> out) const;

 private:
  struct Place {
    SourceFile file;
    uint64_t offset = 0, size_bytes = 0;
  };
  // In a file that is as it was; nothing otherwise.
  std::optional<Place> Find(const Sha256Digest& id) const;

  mutable Mutex mutex_;
  std::unordered_map<Sha256Digest, Place> places_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::weak_ptr<const MappedFile>> maps_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace potluck::model
