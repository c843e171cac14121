#include "model/store/blob_store.h"

#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace potluck::model {
namespace {

// A mapping, and what keeps its blob in the cache.
struct PinnedFile {
  std::shared_ptr<const MappedFile> file;
  std::shared_ptr<const BlobPin> pin;
};

}  // namespace

bool BlobStore::Has(const Blob& blob) const {
  return files_->Has(blob) || (cache_ != nullptr && cache_->Has(blob));
}

std::vector<const Blob*> BlobStore::Missing(std::span<const Blob* const> blobs) const {
  std::vector<const Blob*> missing;
  std::unordered_set<Sha256Digest> seen;
  for (const Blob* blob : blobs) {
    if (seen.insert(blob->id).second && !Has(*blob)) missing.push_back(blob);
  }
  return missing;
}

absl::StatusOr<std::vector<WeightBytes>> BlobStore::Map(std::span<const Blob* const> blobs) const {
  std::vector<WeightBytes> mapped(blobs.size());
  std::vector<size_t> cached;
  std::vector<Sha256Digest> ids;
  for (size_t i = 0; i < blobs.size(); ++i) {
    absl::StatusOr<WeightBytes> local = files_->Map(*blobs[i]);
    if (local.ok()) {
      mapped[i] = *std::move(local);
    } else if (cache_ == nullptr) {
      return local.status();
    } else {
      cached.push_back(i);
      ids.push_back(blobs[i]->id);
    }
  }
  if (cached.empty()) return mapped;
  POTLUCK_ASSIGN_OR_RETURN(const std::shared_ptr<const BlobPin> pin, cache_->Pin(std::move(ids)));
  for (const size_t i : cached) {
    POTLUCK_ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> file, cache_->Map(*blobs[i]));
    mapped[i].bytes = file->bytes();
    const auto held = std::make_shared<const PinnedFile>(PinnedFile{file, pin});
    mapped[i].file = std::shared_ptr<const MappedFile>(held, file.get());
  }
  return mapped;
}

absl::StatusOr<uint64_t> BlobStore::ReadChunk(const Sha256Digest& id, uint64_t index,
                                              std::span<std::byte> out) const {
  absl::StatusOr<uint64_t> read = files_->ReadChunk(id, index, out);
  if (!absl::IsNotFound(read.status()) || cache_ == nullptr) return read;
  return cache_->ReadChunk(id, index, out);
}

}  // namespace potluck::model
