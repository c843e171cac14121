#include "model/store/cache_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "model/store/private_folder.h"

namespace potluck::model {
namespace {

constexpr auto kLockPatience = std::chrono::seconds(10);
constexpr auto kLockInterval = std::chrono::milliseconds(2);
constexpr char kPinsPrefix[] = "pins.";
constexpr uint64_t kMaxPinsBytes = uint64_t{1} << 28;

// The names in a folder, without those of hidden files. None where it cannot be read.
std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  DIR* stream = opendir(folder.c_str());
  if (stream == nullptr) return names;
  while (const dirent* entry = readdir(stream)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  closedir(stream);
  return names;
}

// "<id>" or, of a partial blob, "<id>.N".
std::optional<Sha256Digest> IdOfName(const std::string& name, bool partial) {
  constexpr size_t kHex = 64;
  const auto id = Sha256Digest::FromHex(std::string_view(name).substr(0, kHex));
  const bool numbered = name.size() == kHex + 2 && name[kHex] == '.' && name[kHex + 1] >= '1' &&
                        name[kHex + 1] <= '9';
  return name.size() == kHex || (partial && numbered) ? id : std::nullopt;
}

std::string TextOf(int descriptor, size_t max_bytes) {
  std::string text(max_bytes, '\0');
  const ssize_t count = pread(descriptor, text.data(), text.size(), 0);
  text.resize(count < 0 ? 0 : count);
  return text;
}

absl::Status ReplaceText(int descriptor, std::string_view text, const std::string& path) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t count =
        pwrite(descriptor, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CacheFileError(errno, "write", path);
    done += count;
  }
  if (ftruncate(descriptor, static_cast<off_t>(text.size())) != 0) {
    return CacheFileError(errno, "write", path);
  }
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& path) {
  const Descriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot sync a folder; they say EINVAL.
  if (!folder.is_open() || (fsync(folder.number()) != 0 && errno != EINVAL)) {
    return CacheFileError(errno, "sync", path);
  }
  return absl::OkStatus();
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) close(number_);
}

absl::Status CacheFileError(int error, const char* action, const std::string& path) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return absl::Status(
      full ? absl::StatusCode::kResourceExhausted : absl::ErrnoToStatusCode(error),
      absl::StrCat("cannot ", action, " ", path, ": ", std::strerror(error),
                   full ? "; make room on the disk, or name another folder (--cache-dir)" : ""));
}

absl::StatusOr<std::unique_ptr<CacheFolder>> CacheFolder::Open(const std::string& path) {
  std::unique_ptr<CacheFolder> folder(new CacheFolder(path));
  for (const char* part : {"", "/blobs", "/partial", "/pins"}) {
    POTLUCK_RETURN_IF_ERROR(MakePrivateFolder(path + part));
  }
  POTLUCK_RETURN_IF_ERROR(folder->OpenFiles());
  return folder;
}

absl::Status CacheFolder::OpenFiles() {
  const std::string lock_path = path_ + "/lock";
  lock_ = Descriptor(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_.is_open()) return CacheFileError(errno, "open", lock_path);
  // Under the lock: until its flock is taken, the file of pins looks like a dead process's.
  POTLUCK_ASSIGN_OR_RETURN(const Lock lock, Acquire());
  pins_path_ = absl::StrCat(path_, "/pins/", kPinsPrefix, "XXXXXX");
  pins_ = Descriptor(mkostemp(pins_path_.data(), O_CLOEXEC));
  if (!pins_.is_open()) return CacheFileError(errno, "create", pins_path_);
  if (flock(pins_.number(), LOCK_EX | LOCK_NB) != 0) {
    return CacheFileError(errno, "lock", pins_path_);
  }
  return absl::OkStatus();
}

CacheFolder::~CacheFolder() {
  if (pins_.is_open()) unlink(pins_path_.c_str());
}

std::string CacheFolder::BlobPath(const Sha256Digest& id) const {
  return absl::StrCat(path_, "/blobs/", id.ToHex());
}

std::string CacheFolder::PartialPath(const Sha256Digest& id, int slot) const {
  return absl::StrCat(path_, "/partial/", id.ToHex(), slot == 0 ? "" : absl::StrCat(".", slot));
}

absl::StatusOr<CacheFolder::Lock> CacheFolder::Acquire() {
  Lock lock(*this);
  const auto begin = std::chrono::steady_clock::now();
  // A waiting flock could wait without end for a process that somebody has stopped.
  while (flock(lock_.number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return CacheFileError(errno, "lock", path_ + "/lock");
    }
    if (std::chrono::steady_clock::now() - begin > kLockPatience) {
      return absl::UnavailableError(
          absl::StrCat("another process holds the lock of ", path_,
                       " and does not let go; end it, or name another folder (--cache-dir)"));
    }
    std::this_thread::sleep_for(kLockInterval);
  }
  return lock;
}

CacheFolder::Lock::~Lock() {
  if (folder_ != nullptr) flock(folder_->lock_.number(), LOCK_UN);
}

std::vector<CacheFolder::Entry> CacheFolder::Scan() const {
  std::vector<Entry> entries;
  for (const bool partial : {false, true}) {
    const std::string folder = path_ + (partial ? "/partial" : "/blobs");
    for (const std::string& name : NamesIn(folder)) {
      const std::optional<Sha256Digest> id = IdOfName(name, partial);
      const std::string path = absl::StrCat(folder, "/", name);
      struct stat info;
      if (!id || lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
      entries.push_back({*id, path, static_cast<uint64_t>(info.st_size),
                         int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec,
                         partial});
    }
  }
  return entries;
}

absl::StatusOr<std::unordered_set<Sha256Digest>> CacheFolder::Pinned() const {
  std::unordered_set<Sha256Digest> pinned;
  for (const std::string& name : NamesIn(path_ + "/pins")) {
    if (!name.starts_with(kPinsPrefix)) continue;
    const std::string path = absl::StrCat(path_, "/pins/", name);
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file.is_open()) continue;
    if (flock(file.number(), LOCK_SH | LOCK_NB) == 0) {
      unlink(path.c_str());
      continue;
    }
    // What cannot be read could be anything: then nothing may go.
    POTLUCK_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxPinsBytes));
    for (size_t at = 0; at + 65 <= text.size(); at += 65) {
      if (const auto id = Sha256Digest::FromHex(std::string_view(text).substr(at, 64))) {
        pinned.insert(*id);
      }
    }
  }
  return pinned;
}

absl::Status CacheFolder::WritePins(const std::unordered_set<Sha256Digest>& ids) {
  std::string text;
  for (const Sha256Digest& id : ids) absl::StrAppend(&text, id.ToHex(), "\n");
  return ReplaceText(pins_.number(), text, pins_path_);
}

std::optional<CacheFolder::Tally> CacheFolder::ReadTally() const {
  const std::string text = TextOf(lock_.number(), 64);
  const char *at = text.data(), *end = at + text.size();
  Tally tally;
  auto read = std::from_chars(at, end, tally.used_bytes);
  if (read.ec != std::errc() || read.ptr == end || *read.ptr != ' ') return std::nullopt;
  read = std::from_chars(read.ptr + 1, end, tally.last_use_ns);
  if (read.ec != std::errc() || read.ptr == end || *read.ptr != '\n') return std::nullopt;
  return tally;
}

void CacheFolder::WriteTally(const Tally& tally) {
  // On a full disk the old one stays, or none: the next reader scans.
  ReplaceText(lock_.number(), absl::StrCat(tally.used_bytes, " ", tally.last_use_ns, "\n"),
              path_ + "/lock")
      .IgnoreError();
}

absl::Status CacheFolder::SyncNames() const {
  POTLUCK_RETURN_IF_ERROR(SyncFolder(path_ + "/blobs"));
  return SyncFolder(path_ + "/partial");
}

}  // namespace potluck::model
