#include "common/state_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace potluck {
namespace {

constexpr char kAdvice[] = "; name a folder of your own with --state-dir";

absl::Status FolderError(int error, absl::string_view action, const std::string& path) {
  return absl::Status(
      error == EROFS ? absl::StatusCode::kPermissionDenied : absl::ErrnoToStatusCode(error),
      absl::StrCat("cannot ", action, " ", path, ": ", std::strerror(error), kAdvice));
}

absl::Status MakeFolder(const std::string& base, const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(base, error);
  if (error) return FolderError(error.value(), "make the state folder", base);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return FolderError(errno, "make the state folder", path);
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return FolderError(errno, "read the state folder", path);
  if (!S_ISDIR(info.st_mode)) return FolderError(ENOTDIR, "use as state folder", path);
  if (info.st_uid != geteuid()) {
    return absl::PermissionDeniedError(
        absl::StrCat("the state folder ", path, " is another user's", kAdvice));
  }
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return absl::PermissionDeniedError(absl::StrCat("others may look into the state folder ", path,
                                                    ", which has keys: run: chmod 700 ", path));
  }
  return absl::OkStatus();
}

// The descriptor that holds the lock, or -1 where another process has it.
absl::StatusOr<int> TryLock(const std::string& folder) {
  const std::string path = folder + "/lock";
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) return FolderError(errno, "write", path);
  while (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    close(descriptor);
    if (error == EWOULDBLOCK) return -1;
    return FolderError(error, "lock", path);
  }
  return descriptor;
}

}  // namespace

absl::StatusOr<StateFolder> StateFolder::Lock(const std::string& base, const std::string& role) {
  for (int number = 1; number <= kMostProcesses; ++number) {
    std::string path = absl::StrCat(base, "/", role);
    if (number > 1) absl::StrAppend(&path, "-", number);
    POTLUCK_RETURN_IF_ERROR(MakeFolder(base, path));
    POTLUCK_ASSIGN_OR_RETURN(const int lock, TryLock(path));
    if (lock >= 0) return StateFolder(std::move(path), lock);
  }
  return absl::ResourceExhaustedError(
      absl::StrCat(kMostProcesses, " processes have their state in ", base, " already", kAdvice));
}

StateFolder::StateFolder(StateFolder&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

StateFolder& StateFolder::operator=(StateFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(lock_, other.lock_);
  return *this;
}

StateFolder::~StateFolder() {
  if (lock_ >= 0) close(lock_);
}

}  // namespace potluck
