#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "model/store/blob_bytes.h"
#include "model/store/blob_cache.h"

namespace potluck::model {
namespace {

absl::Status WriteAt(int file, std::span<const std::byte> bytes, uint64_t offset,
                     const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CacheFileError(errno, "write", path);
    bytes = bytes.subspan(count);
    offset += count;
  }
  return absl::OkStatus();
}

}  // namespace

BlobWriter::~BlobWriter() {
  if (finished_ || !given_up_) return;
  // The flock is still held: no other writer has begun with this file.
  const auto lock = cache_->folder_->Acquire();
  unlink(path_.c_str());
}

bool BlobWriter::HasChunk(uint64_t index) const {
  const MutexLock lock(mutex_);
  return index < present_.size() && present_[index];
}

std::vector<uint64_t> BlobWriter::MissingChunks() const {
  const MutexLock lock(mutex_);
  std::vector<uint64_t> missing;
  for (uint64_t i = 0; i < present_.size(); ++i) {
    if (!present_[i]) missing.push_back(i);
  }
  return missing;
}

absl::Status BlobWriter::VerifyStored() {
  std::vector<std::byte> buffer(std::min(kChunkBytes, blob_.size_bytes));
  for (uint64_t i = 0; i < blob_.chunks.size(); ++i) {
    const uint64_t offset = i * kChunkBytes, bytes = ChunkBytes(blob_.size_bytes, i);
    // A hole was never written.
    const off_t data = lseek(file_.number(), static_cast<off_t>(offset), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data >= 0 && static_cast<uint64_t>(data) >= offset + bytes) continue;
    const std::span<std::byte> chunk(buffer.data(), bytes);
    POTLUCK_ASSIGN_OR_RETURN(const uint64_t read, ReadAt(file_.number(), chunk, offset, path_));
    const MutexLock lock(mutex_);
    present_[i] = read == bytes && Sha256(chunk) == blob_.chunks[i];
  }
  return absl::OkStatus();
}

absl::Status BlobWriter::WriteChunk(uint64_t index, std::span<const std::byte> bytes) {
  if (index >= blob_.chunks.size()) {
    return absl::InvalidArgumentError(absl::StrCat("chunk ", index, " of a blob that has ",
                                                   blob_.chunks.size(), ": ", blob_.id.ToHex()));
  }
  if (bytes.size() != ChunkBytes(blob_.size_bytes, index)) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk ", index, " of blob ", blob_.id.ToHex(), " came with ", bytes.size(),
                     " bytes instead of ", ChunkBytes(blob_.size_bytes, index)));
  }
  if (Sha256(bytes) != blob_.chunks[index]) {
    return absl::DataLossError(absl::StrCat("chunk ", index, " of blob ", blob_.id.ToHex(),
                                            " came damaged; fetch it again, from another source"));
  }
  {
    const MutexLock lock(mutex_);
    if (given_up_) {
      return absl::ResourceExhaustedError(absl::StrCat("the disk of ", path_, " is full"));
    }
    if (present_[index]) return absl::OkStatus();
  }
  const absl::Status status = WriteAt(file_.number(), bytes, index * kChunkBytes, path_);
  const MutexLock lock(mutex_);
  if (status.ok()) present_[index] = true;
  if (absl::IsResourceExhausted(status)) given_up_ = true;
  return status;
}

absl::Status BlobWriter::Finish() {
  const MutexLock lock(mutex_);
  if (finished_) return absl::FailedPreconditionError("the blob is finished already");
  for (uint64_t i = 0; i < present_.size(); ++i) {
    if (present_[i]) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("chunk ", i, " of blob ", blob_.id.ToHex(), " is missing"));
  }
  // First the bytes, then the name that says that they are there.
  if (fsync(file_.number()) != 0) {
    const absl::Status status = CacheFileError(errno, "sync", path_);
    if (absl::IsResourceExhausted(status)) given_up_ = true;
    return status;
  }
  CacheFolder& folder = *cache_->folder_;
  POTLUCK_ASSIGN_OR_RETURN(const CacheFolder::Lock folder_lock, folder.Acquire());
  CacheFolder::Tally tally = cache_->TallyNow();
  const int64_t now = cache_->Stamp(tally);
  const timespec times[2] = {{now / 1'000'000'000, now % 1'000'000'000},
                             {now / 1'000'000'000, now % 1'000'000'000}};
  futimens(file_.number(), times);
  if (cache_->Has(blob_)) {  // another writer was first
    unlink(path_.c_str());
    tally.used_bytes -= std::min(tally.used_bytes, blob_.size_bytes);
  } else if (rename(path_.c_str(), folder.BlobPath(blob_.id).c_str()) != 0) {
    return CacheFileError(errno, "rename", path_);
  }
  finished_ = true;
  cache_->NoteVerified(blob_.id);
  folder.WriteTally(tally);
  return folder.SyncNames();
}

}  // namespace potluck::model
