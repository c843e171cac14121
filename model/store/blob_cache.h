// A worker's disk cache of blobs: fetched once, kept whole, mapped, and given up when the room is
// needed, the longest unused first.
//
// Any number of threads and of processes of one user share a folder. What some process pins is not
// evicted by any of them; a pin ends with its process at the latest. A crash at any point loses at
// most the chunks that were being written: a partial blob's chunks are verified again before they
// count, and a blob gets its name only when all of its bytes are verified and on the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/files.h"
#include "common/mutex.h"
#include "model/store/blob.h"
#include "model/store/cache_folder.h"

namespace potluck::model {

inline constexpr uint64_t kDefaultMinFreeBytes = uint64_t{2} << 30;

struct BlobCacheOptions {
  std::string folder;  // made where it is missing, with mode 0700
  // Of all blobs together, partial ones as if whole. None: half of the folder's disk.
  std::optional<uint64_t> max_bytes;
  uint64_t min_free_bytes = kDefaultMinFreeBytes;  // stays free on the disk
  // For the order of eviction and for people. May go back: the order stays that of use.
  std::function<absl::Time()> now;
  // Of the folder's disk. Null: what the system says.
  std::function<absl::StatusOr<uint64_t>(const std::string& folder)> free_bytes;
};

struct CachedBlob {
  Sha256Digest id;
  uint64_t size_bytes = 0;
  absl::Time last_used;
  bool partial = false;  // not all of it is there
  bool pinned = false;   // by this process or another, or being fetched
};

struct PruneResult {
  uint64_t removed_blobs = 0, removed_bytes = 0;
  uint64_t kept_blobs = 0, kept_bytes = 0;      // all that is left
  uint64_t pinned_blobs = 0, pinned_bytes = 0;  // of these, those that may not go
};

class BlobCache;

// Keeps blobs from being evicted for as long as it lives.
class BlobPin {
 public:
  ~BlobPin();
  BlobPin(const BlobPin&) = delete;
  BlobPin& operator=(const BlobPin&) = delete;

 private:
  friend class BlobCache;
  BlobPin(std::shared_ptr<BlobCache> cache, std::vector<Sha256Digest> ids)
      : cache_(std::move(cache)), ids_(std::move(ids)) {}

  const std::shared_ptr<BlobCache> cache_;
  const std::vector<Sha256Digest> ids_;
};

// A blob that is being fetched. Thread-safe: chunks come in any order, from any number of sources.
// What is written stays in the cache when the writer ends early, and the next one goes on from
// there.
class BlobWriter {
 public:
  ~BlobWriter();
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  const Blob& blob() const { return blob_; }
  bool HasChunk(uint64_t index) const;
  std::vector<uint64_t> MissingChunks() const;

  // Verifies the bytes, then stores them. DataLoss where they are not chunk `index`: nothing is
  // stored; ask another source. InvalidArgument for an index or a size that the blob does not have.
  // ResourceExhausted on a full disk: then the partial blob is given up, so that nothing
  // half-written stays. A chunk that is there already is fine.
  absl::Status WriteChunk(uint64_t index, std::span<const std::byte> bytes);

  // Makes the blob whole: on the disk, and found by its id. FailedPrecondition while chunks are
  // missing. Once.
  absl::Status Finish();

 private:
  friend class BlobCache;
  BlobWriter(std::shared_ptr<BlobCache> cache, const Blob& blob, std::string path, Descriptor file)
      : cache_(std::move(cache)),
        blob_(blob),
        path_(std::move(path)),
        file_(std::move(file)),
        present_(blob.chunks.size()) {}
  absl::Status VerifyStored();

  const std::shared_ptr<BlobCache> cache_;
  const Blob blob_;
  const std::string path_;
  const Descriptor file_;  // holds the flock of the partial blob
  mutable Mutex mutex_;
  // Chunks whose bytes are verified and written.
  std::vector<bool> present_ ABSL_GUARDED_BY(mutex_);
  bool given_up_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

// Thread-safe. A forked child opens one of its own.
class BlobCache : public std::enable_shared_from_this<BlobCache> {
 public:
  static absl::StatusOr<std::shared_ptr<BlobCache>> Open(const BlobCacheOptions& options);

  const std::string& folder() const { return folder_->path(); }
  // Of all blobs together, as it is now.
  absl::StatusOr<uint64_t> MaxBytes() const;

  // Pins ids, whether their blobs are here already or are still to come. Pin before fetching: what
  // comes first is not evicted for what comes later. Counts as a use of those that are here.
  absl::StatusOr<std::shared_ptr<const BlobPin>> Pin(std::vector<Sha256Digest> ids);

  // Whether the whole blob is here.
  bool Has(const Blob& blob) const;

  // Whether its bytes were verified in this process: when they came, or by Verify.
  bool IsVerified(const Sha256Digest& id) const;
  // Reads and verifies the whole blob: disks forget. DataLoss where it is damaged: then it is gone
  // from the cache, to be fetched again. NotFound where it is not here.
  absl::Status Verify(const Blob& blob);

  // Makes room, evicting what nobody pins, and begins or goes on with a blob; chunks of an earlier
  // writer are read and verified first. AlreadyExists where the blob is here. Unavailable where
  // another thread or process is fetching it (wait, and ask Has), unless `beside_others` asks for a
  // fetch of its own, for when the other one hangs. ResourceExhausted, with nothing evicted, where
  // the size limit or the disk has no room.
  absl::StatusOr<std::shared_ptr<BlobWriter>> Write(const Blob& blob, bool beside_others = false);

  // Whether these blobs, which are pinned and not here, would all find room. ResourceExhausted,
  // with the numbers, where they would not; nothing is evicted or kept free.
  absl::Status CheckRoom(std::span<const Blob* const> blobs);

  // The whole blob, mapped. Counts as a use. NotFound where it is not here. Keep it pinned while it
  // is mapped, else its room on the disk is in use and counted as free.
  absl::StatusOr<std::shared_ptr<const MappedFile>> Map(const Blob& blob);

  // Chunk `index` of a whole blob, into the front of `out`; returns its size. NotFound where the
  // blob is not here, InvalidArgument where it has no such chunk or `out` is too short. The
  // receiver verifies.
  absl::StatusOr<uint64_t> ReadChunk(const Sha256Digest& id, uint64_t index,
                                     std::span<std::byte> out) const;

  // The longest unused first.
  absl::StatusOr<std::vector<CachedBlob>> List();
  // Evicts the longest unused until `to_bytes` are left, or only what is pinned.
  absl::StatusOr<PruneResult> Prune(uint64_t to_bytes);
  absl::StatusOr<PruneResult> Clear() { return Prune(0); }

 private:
  friend class BlobPin;
  friend class BlobWriter;
  struct Candidates;

  BlobCache(BlobCacheOptions options, std::unique_ptr<CacheFolder> folder)
      : options_(std::move(options)), folder_(std::move(folder)) {}

  absl::StatusOr<uint64_t> FreeBytes() const;
  absl::StatusOr<std::shared_ptr<BlobWriter>> OpenPartial(const Blob& blob, bool beside_others,
                                                          CacheFolder::Tally& tally);
  absl::Status Reserve(const Blob& blob, int file, const std::string& path, bool is_new,
                       CacheFolder::Tally& tally);
  absl::StatusOr<Candidates> FindCandidates() const;
  absl::Status CheckRoom(uint64_t wanted_bytes, uint64_t free_bytes,
                         const Candidates& candidates) const;
  absl::Status MakeRoom(uint64_t wanted_bytes, CacheFolder::Tally& tally);
  CacheFolder::Tally TallyNow() const;
  int64_t Stamp(CacheFolder::Tally& tally) const;
  void NoteVerified(const Sha256Digest& id);
  void Unpin(const std::vector<Sha256Digest>& ids);

  const BlobCacheOptions options_;
  const std::unique_ptr<CacheFolder> folder_;
  std::map<Sha256Digest, int> pins_;  // guarded by the folder's lock: how many pins hold each id
  mutable Mutex mutex_;
  std::unordered_set<Sha256Digest> verified_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace potluck::model
