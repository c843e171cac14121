// All blobs of this machine: the cache's and those in local model files.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "model/store/blob_cache.h"
#include "model/store/local_files.h"

namespace potluck::model {

// Thread-safe. Cheap to copy: cache and files are shared.
class BlobStore {
 public:
  // `cache` may be null: a machine that only serves its own files.
  BlobStore(std::shared_ptr<BlobCache> cache, std::shared_ptr<LocalFiles> files)
      : cache_(std::move(cache)), files_(std::move(files)) {}

  const std::shared_ptr<BlobCache>& cache() const { return cache_; }
  LocalFiles& files() const { return *files_; }

  bool Has(const Blob& blob) const;
  // Those that have to be fetched, each once, in their order.
  std::vector<const Blob*> Missing(std::span<const Blob* const> blobs) const;

  // The blobs' bytes, mapped where they lie, in their order. Those from the cache are pinned for as
  // long as any `file` of them lives. NotFound where one is missing.
  absl::StatusOr<std::vector<WeightBytes>> Map(std::span<const Blob* const> blobs) const;

  // For peers: chunk `index` of a blob, into the front of `out` (kChunkBytes are always enough);
  // returns its size. NotFound where this machine does not have the whole blob.
  absl::StatusOr<uint64_t> ReadChunk(const Sha256Digest& id, uint64_t index,
                                     std::span<std::byte> out) const;

 private:
  std::shared_ptr<BlobCache> cache_;
  std::shared_ptr<LocalFiles> files_;
};

}  // namespace potluck::model
