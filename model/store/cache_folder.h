// The files of a cache of blobs, and the locks that let several processes share it. No policy.
//
//   blobs/<id>            a whole blob, verified before it got this name
//   partial/<id>[.N]      one that is being fetched, of its full size; whoever writes it holds a
//                         flock on it
//   pins/pins.<random>    the ids that one process needs, one per line; that process holds a flock
//                         on it, so a file without one is a dead process's and counts for nothing
//   lock                  held (flock) for every change; its text is a count of bytes and a time
//
// Names are made of ids, so nobody can choose one. Other files are left alone.
// Source: docs/formats.md, "The cache of weights".
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/sha256.h"

namespace potluck::model {

// A file descriptor that is closed at the end.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }

  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }

 private:
  int number_ = -1;
};

// What the system says of a file: ResourceExhausted for a full disk, a quota or a size limit.
absl::Status CacheFileError(int error, const char* action, const std::string& path);

class CacheFolder {
 public:
  // Makes what is missing. Unavailable where other processes hold the lock for 10 seconds.
  static absl::StatusOr<std::unique_ptr<CacheFolder>> Open(const std::string& path);
  ~CacheFolder();

  const std::string& path() const { return path_; }
  std::string BlobPath(const Sha256Digest& id) const;
  std::string PartialPath(const Sha256Digest& id, int slot) const;

  // The right to change the folder, against all threads and processes. Held briefly; never while
  // another is taken.
  class Lock {
   public:
    explicit Lock(CacheFolder& folder) : folder_(&folder), in_process_(folder.mutex_) {}
    Lock(Lock&& other) noexcept
        : folder_(std::exchange(other.folder_, nullptr)),
          in_process_(std::move(other.in_process_)) {}
    ~Lock();

   private:
    CacheFolder* folder_;
    std::unique_lock<std::mutex> in_process_;
  };
  // Unavailable where another process holds it for 10 seconds: it hangs or is stopped.
  absl::StatusOr<Lock> Acquire();

  struct Entry {
    Sha256Digest id;
    std::string path;
    uint64_t size_bytes = 0;
    int64_t last_used_ns = 0;  // since 1970
    bool partial = false;
  };
  // What follows is for holders of the lock.
  std::vector<Entry> Scan() const;
  // The ids that any live process needs. Removes the files of dead ones.
  absl::StatusOr<std::unordered_set<Sha256Digest>> Pinned() const;
  // The ids that this process needs.
  absl::Status WritePins(const std::unordered_set<Sha256Digest>& ids);

  // What all processes know together. Wrong after a crash at worst: Scan() is the truth.
  struct Tally {
    uint64_t used_bytes = 0;
    int64_t last_use_ns = 0;
  };
  std::optional<Tally> ReadTally() const;
  void WriteTally(const Tally& tally);
  // Syncs the names in blobs/ and partial/.
  absl::Status SyncNames() const;

 private:
  explicit CacheFolder(std::string path) : path_(std::move(path)) {}
  absl::Status OpenFiles();

  const std::string path_;
  // Not common/mutex.h's: Lock moves out of Acquire, which thread-safety analysis cannot follow.
  std::mutex mutex_;
  Descriptor lock_, pins_;
  std::string pins_path_;
};

}  // namespace potluck::model
