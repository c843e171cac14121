#include "model/store/blob_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "model/store/blob_bytes.h"

namespace potluck::model {
namespace {

constexpr int kPartialSlots = 10;  // writers of one blob at a time

std::string MiB(uint64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

void SetUsed(const std::string& path, int64_t time_ns) {
  const timespec time = {time_ns / 1'000'000'000, time_ns % 1'000'000'000};
  const timespec times[2] = {time, time};
  utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

absl::StatusOr<struct statvfs> DiskOf(const std::string& folder) {
  struct statvfs disk;
  if (statvfs(folder.c_str(), &disk) != 0) return CacheFileError(errno, "measure", folder);
  return disk;
}

bool IsBeingWritten(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return file.is_open() && flock(file.number(), LOCK_SH | LOCK_NB) != 0;
}

}  // namespace

// What is in the folder, and which of it may go.
struct BlobCache::Candidates {
  std::vector<CacheFolder::Entry> evictable;  // the longest unused first
  std::vector<CacheFolder::Entry> held;
  uint64_t evictable_bytes = 0, held_bytes = 0;
};

absl::StatusOr<std::shared_ptr<BlobCache>> BlobCache::Open(const BlobCacheOptions& options) {
  POTLUCK_ASSIGN_OR_RETURN(std::unique_ptr<CacheFolder> folder, CacheFolder::Open(options.folder));
  std::shared_ptr<BlobCache> cache(new BlobCache(options, std::move(folder)));
  POTLUCK_ASSIGN_OR_RETURN(const CacheFolder::Lock lock, cache->folder_->Acquire());
  // A crash may have left the tally wrong.
  CacheFolder::Tally tally = cache->TallyNow();
  tally.used_bytes = 0;
  for (const auto& entry : cache->folder_->Scan()) tally.used_bytes += entry.size_bytes;
  cache->folder_->WriteTally(tally);
  return cache;
}

CacheFolder::Tally BlobCache::TallyNow() const {
  if (const auto tally = folder_->ReadTally()) return *tally;
  CacheFolder::Tally tally;
  for (const auto& entry : folder_->Scan()) {
    tally.used_bytes += entry.size_bytes;
    tally.last_use_ns = std::max(tally.last_use_ns, entry.last_used_ns);
  }
  return tally;
}

int64_t BlobCache::Stamp(CacheFolder::Tally& tally) const {
  const int64_t now = absl::ToUnixNanos(options_.now());
  tally.last_use_ns = std::max(now, tally.last_use_ns + 1);
  return tally.last_use_ns;
}

absl::StatusOr<uint64_t> BlobCache::MaxBytes() const {
  if (options_.max_bytes) return *options_.max_bytes;
  POTLUCK_ASSIGN_OR_RETURN(const struct statvfs disk, DiskOf(folder()));
  return uint64_t{disk.f_blocks} * disk.f_frsize / 2;
}

absl::StatusOr<uint64_t> BlobCache::FreeBytes() const {
  if (options_.free_bytes) return options_.free_bytes(folder());
  POTLUCK_ASSIGN_OR_RETURN(const struct statvfs disk, DiskOf(folder()));
  return uint64_t{disk.f_bavail} * disk.f_frsize;
}

absl::StatusOr<BlobCache::Candidates> BlobCache::FindCandidates() const {
  POTLUCK_ASSIGN_OR_RETURN(const std::unordered_set<Sha256Digest> pinned, folder_->Pinned());
  Candidates candidates;
  for (CacheFolder::Entry& entry : folder_->Scan()) {
    const bool held = pinned.contains(entry.id) || (entry.partial && IsBeingWritten(entry.path));
    (held ? candidates.held_bytes : candidates.evictable_bytes) += entry.size_bytes;
    (held ? candidates.held : candidates.evictable).push_back(std::move(entry));
  }
  std::ranges::sort(candidates.evictable, {}, &CacheFolder::Entry::last_used_ns);
  return candidates;
}

absl::Status BlobCache::MakeRoom(uint64_t wanted_bytes, CacheFolder::Tally& tally) {
  POTLUCK_ASSIGN_OR_RETURN(const uint64_t max_bytes, MaxBytes());
  POTLUCK_ASSIGN_OR_RETURN(uint64_t free_bytes, FreeBytes());
  const uint64_t wanted_free = wanted_bytes + options_.min_free_bytes;
  const auto fits = [&] {
    return tally.used_bytes + wanted_bytes <= max_bytes && free_bytes >= wanted_free;
  };
  if (fits()) return absl::OkStatus();
  POTLUCK_ASSIGN_OR_RETURN(const Candidates candidates, FindCandidates());
  tally.used_bytes = candidates.evictable_bytes + candidates.held_bytes;
  // Nothing is thrown away in vain.
  POTLUCK_RETURN_IF_ERROR(CheckRoom(wanted_bytes, free_bytes, candidates));
  for (const CacheFolder::Entry& entry : candidates.evictable) {
    if (fits()) break;
    if (unlink(entry.path.c_str()) != 0) continue;
    tally.used_bytes -= entry.size_bytes;
    POTLUCK_ASSIGN_OR_RETURN(free_bytes, FreeBytes());
  }
  if (fits()) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the disk of ", folder(), " stays at ", MiB(free_bytes),
                   " free, whatever the cache gives up; make room on it"));
}

absl::Status BlobCache::CheckRoom(std::span<const Blob* const> blobs) {
  POTLUCK_ASSIGN_OR_RETURN(const CacheFolder::Lock lock, folder_->Acquire());
  POTLUCK_ASSIGN_OR_RETURN(const uint64_t free_bytes, FreeBytes());
  POTLUCK_ASSIGN_OR_RETURN(const Candidates candidates, FindCandidates());
  std::unordered_set<Sha256Digest> have_room;  // partial blobs have theirs
  for (const CacheFolder::Entry& entry : candidates.held) have_room.insert(entry.id);
  uint64_t wanted_bytes = 0;
  for (const Blob* blob : blobs) {
    if (!have_room.contains(blob->id)) wanted_bytes += blob->size_bytes;
  }
  return CheckRoom(wanted_bytes, free_bytes, candidates);
}

absl::Status BlobCache::CheckRoom(uint64_t wanted_bytes, uint64_t free_bytes,
                                  const Candidates& candidates) const {
  const uint64_t wanted_free = wanted_bytes + options_.min_free_bytes;
  if (free_bytes + candidates.evictable_bytes < wanted_free) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the disk of ", folder(), " has ", MiB(free_bytes),
                     " free and the cache could give up ", MiB(candidates.evictable_bytes),
                     ", but ", MiB(wanted_bytes), " are needed and ", MiB(options_.min_free_bytes),
                     " stay free; make room on the disk, or name another folder (--cache-dir)"));
  }
  POTLUCK_ASSIGN_OR_RETURN(const uint64_t max_bytes, MaxBytes());
  if (candidates.held_bytes + wanted_bytes > max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the cache ", folder(), " may hold ", MiB(max_bytes), " and ",
                     MiB(candidates.held_bytes), " of it are in use, so ", MiB(wanted_bytes),
                     " more do not fit; give it a larger limit (--cache-size)"));
  }
  return absl::OkStatus();
}

bool BlobCache::Has(const Blob& blob) const {
  struct stat info;
  return lstat(folder_->BlobPath(blob.id).c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         static_cast<uint64_t>(info.st_size) == blob.size_bytes;
}

bool BlobCache::IsVerified(const Sha256Digest& id) const {
  const MutexLock lock(mutex_);
  return verified_.contains(id);
}

void BlobCache::NoteVerified(const Sha256Digest& id) {
  const MutexLock lock(mutex_);
  verified_.insert(id);
}

absl::Status BlobCache::Verify(const Blob& blob) {
  std::vector<std::byte> chunk(std::min(kChunkBytes, blob.size_bytes));
  for (uint64_t i = 0; i < blob.chunks.size(); ++i) {
    const absl::StatusOr<uint64_t> bytes = ReadChunk(blob.id, i, chunk);
    if (absl::IsNotFound(bytes.status())) return bytes.status();
    if (bytes.ok() && Sha256(std::span(chunk).first(*bytes)) == blob.chunks[i]) continue;
    POTLUCK_ASSIGN_OR_RETURN(const CacheFolder::Lock lock, folder_->Acquire());
    CacheFolder::Tally tally = TallyNow();
    if (unlink(folder_->BlobPath(blob.id).c_str()) == 0)
      tally.used_bytes -= std::min(tally.used_bytes, blob.size_bytes);
    folder_->WriteTally(tally);
    return absl::DataLossError(
        absl::StrCat("blob ", blob.id.ToHex(), " of ", folder(),
                     " was damaged on the disk: look after that disk; the blob is fetched again"));
  }
  NoteVerified(blob.id);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<BlobWriter>> BlobCache::Write(const Blob& blob, bool beside_others) {
  std::shared_ptr<BlobWriter> writer;
  {
    POTLUCK_ASSIGN_OR_RETURN(const CacheFolder::Lock lock, folder_->Acquire());
    if (Has(blob)) {
      return absl::AlreadyExistsError(absl::StrCat("blob ", blob.id.ToHex(), " is in the cache"));
    }
    CacheFolder::Tally tally = TallyNow();
    absl::StatusOr<std::shared_ptr<BlobWriter>> opened = OpenPartial(blob, beside_others, tally);
    folder_->WriteTally(tally);
    POTLUCK_ASSIGN_OR_RETURN(writer, std::move(opened));
  }
  POTLUCK_RETURN_IF_ERROR(writer->VerifyStored());
  return writer;
}

absl::StatusOr<std::shared_ptr<BlobWriter>> BlobCache::OpenPartial(const Blob& blob,
                                                                   bool beside_others,
                                                                   CacheFolder::Tally& tally) {
  // A blob of another size under this id is not what its name says.
  unlink(folder_->BlobPath(blob.id).c_str());
  for (int slot = 0; slot < (beside_others ? kPartialSlots : 1); ++slot) {
    const std::string path = folder_->PartialPath(blob.id, slot);
    Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.is_open()) return CacheFileError(errno, "create", path);
    if (flock(file.number(), LOCK_EX | LOCK_NB) != 0) continue;
    struct stat info;
    if (fstat(file.number(), &info) != 0) return CacheFileError(errno, "read", path);
    const bool is_new = static_cast<uint64_t>(info.st_size) != blob.size_bytes;
    POTLUCK_RETURN_IF_ERROR(Reserve(blob, file.number(), path, is_new, tally));
    SetUsed(path, Stamp(tally));
    return std::shared_ptr<BlobWriter>(
        new BlobWriter(shared_from_this(), blob, path, std::move(file)));
  }
  return absl::UnavailableError(
      absl::StrCat("blob ", blob.id.ToHex(), " is being fetched by another"));
}

absl::Status BlobCache::Reserve(const Blob& blob, int file, const std::string& path, bool is_new,
                                CacheFolder::Tally& tally) {
  absl::Status status;
  if (is_new) status = MakeRoom(blob.size_bytes, tally);
  if (status.ok() && is_new &&
      (ftruncate(file, 0) != 0 || ftruncate(file, static_cast<off_t>(blob.size_bytes)) != 0)) {
    status = CacheFileError(errno, "write", path);
  }
  // The room is taken now, so that no chunk comes for nothing. Not every file system can do it.
  if (status.ok() && fallocate(file, 0, 0, static_cast<off_t>(blob.size_bytes)) != 0 &&
      errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR) {
    status = CacheFileError(errno, "reserve room for", path);
  }
  if (status.ok() && is_new) tally.used_bytes += blob.size_bytes;
  if (!status.ok()) {
    unlink(path.c_str());
    if (!is_new) tally.used_bytes -= std::min(tally.used_bytes, blob.size_bytes);
  }
  return status;
}

absl::StatusOr<std::shared_ptr<const MappedFile>> BlobCache::Map(const Blob& blob) {
  const std::string path = folder_->BlobPath(blob.id);
  POTLUCK_ASSIGN_OR_RETURN(const CacheFolder::Lock lock, folder_->Acquire());
  if (!Has(blob)) {
    return absl::NotFoundError(absl::StrCat("blob ", blob.id.ToHex(), " is not in the cache"));
  }
  CacheFolder::Tally tally = TallyNow();
  SetUsed(path, Stamp(tally));
  folder_->WriteTally(tally);
  return MappedFile::Open(path);
}

absl::StatusOr<uint64_t> BlobCache::ReadChunk(const Sha256Digest& id, uint64_t index,
                                              std::span<std::byte> out) const {
  const std::string path = folder_->BlobPath(id);
  struct stat info;
  if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::NotFoundError(absl::StrCat("blob ", id.ToHex(), " is not in the cache"));
  }
  return ReadBlobChunk(path, {0, static_cast<uint64_t>(info.st_size)}, index, out);
}

absl::StatusOr<std::shared_ptr<const BlobPin>> BlobCache::Pin(std::vector<Sha256Digest> ids) {
  POTLUCK_ASSIGN_OR_RETURN(const CacheFolder::Lock lock, folder_->Acquire());
  std::unordered_set<Sha256Digest> all(ids.begin(), ids.end());
  for (const auto& [id, count] : pins_) all.insert(id);
  POTLUCK_RETURN_IF_ERROR(folder_->WritePins(all));
  CacheFolder::Tally tally = TallyNow();
  for (const Sha256Digest& id : ids) {
    ++pins_[id];
    SetUsed(folder_->BlobPath(id), Stamp(tally));
  }
  folder_->WriteTally(tally);
  return std::shared_ptr<const BlobPin>(new BlobPin(shared_from_this(), std::move(ids)));
}

void BlobCache::Unpin(const std::vector<Sha256Digest>& ids) {
  // Without the lock the ids stay pinned until the next change, or until the process ends.
  const auto lock = folder_->Acquire();
  if (!lock.ok()) return;
  for (const Sha256Digest& id : ids) {
    const auto found = pins_.find(id);
    if (found != pins_.end() && --found->second == 0) pins_.erase(found);
  }
  std::unordered_set<Sha256Digest> left;
  for (const auto& [id, count] : pins_) left.insert(id);
  folder_->WritePins(left).IgnoreError();
}

BlobPin::~BlobPin() { cache_->Unpin(ids_); }

absl::StatusOr<std::vector<CachedBlob>> BlobCache::List() {
  POTLUCK_ASSIGN_OR_RETURN(const CacheFolder::Lock lock, folder_->Acquire());
  POTLUCK_ASSIGN_OR_RETURN(const Candidates candidates, FindCandidates());
  std::vector<CachedBlob> blobs;
  for (const auto* entries : {&candidates.evictable, &candidates.held}) {
    for (const CacheFolder::Entry& entry : *entries) {
      blobs.push_back({entry.id, entry.size_bytes, absl::FromUnixNanos(entry.last_used_ns),
                       entry.partial, entries == &candidates.held});
    }
  }
  std::ranges::sort(blobs, {}, &CachedBlob::last_used);
  return blobs;
}

absl::StatusOr<PruneResult> BlobCache::Prune(uint64_t to_bytes) {
  POTLUCK_ASSIGN_OR_RETURN(const CacheFolder::Lock lock, folder_->Acquire());
  POTLUCK_ASSIGN_OR_RETURN(const Candidates candidates, FindCandidates());
  PruneResult result;
  result.pinned_blobs = candidates.held.size();
  result.pinned_bytes = candidates.held_bytes;
  result.kept_blobs = candidates.held.size() + candidates.evictable.size();
  result.kept_bytes = candidates.held_bytes + candidates.evictable_bytes;
  absl::Status status;
  for (const CacheFolder::Entry& entry : candidates.evictable) {
    if (result.kept_bytes <= to_bytes) break;
    if (unlink(entry.path.c_str()) != 0) {
      status = CacheFileError(errno, "remove", entry.path);
      continue;
    }
    ++result.removed_blobs, --result.kept_blobs;
    result.removed_bytes += entry.size_bytes;
    result.kept_bytes -= entry.size_bytes;
  }
  CacheFolder::Tally tally = TallyNow();
  tally.used_bytes = result.kept_bytes;
  folder_->WriteTally(tally);
  POTLUCK_RETURN_IF_ERROR(status);
  return result;
}

}  // namespace potluck::model
