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

std::string PathOf(const std::string& base, const std::string& role, int number) {
  const std::string path = absl::StrCat(base, "/", role);
  return number > 1 ? absl::StrCat(path, "-", number) : path;
}

void CloseFilesToOthers(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    struct stat info;
    const bool is_open = lstat(entry.path().c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
                         (info.st_mode & (S_IRWXG | S_IRWXO)) != 0;
    if (is_open) chmod(entry.path().c_str(), S_IRUSR | S_IWUSR);
  }
}

struct flock WholeFile() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
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
  // Locks of this kind tell who has them, but end where the process closes the file in any way; so
  // this one is for telling alone.
  struct flock mine = WholeFile();
  fcntl(descriptor, F_SETLK, &mine);
  return descriptor;
}

// 0 where no other process has it.
pid_t HolderOf(const std::string& folder) {
  const int descriptor = open((folder + "/lock").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return 0;
  struct flock lock = WholeFile();
  const bool known = fcntl(descriptor, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  close(descriptor);
  return known ? lock.l_pid : 0;
}

}  // namespace

absl::StatusOr<StateFolder> StateFolder::Lock(const std::string& base, const std::string& role) {
  for (int number = 1; number <= kMostProcesses; ++number) {
    std::string path = PathOf(base, role, number);
    POTLUCK_RETURN_IF_ERROR(MakeFolder(base, path));
    POTLUCK_ASSIGN_OR_RETURN(const int lock, TryLock(path));
    if (lock < 0) continue;
    CloseFilesToOthers(path);
    return StateFolder(std::move(path), lock);
  }
  return absl::ResourceExhaustedError(
      absl::StrCat(kMostProcesses, " processes have their state in ", base, " already", kAdvice));
}

std::vector<StateFolder::Holder> StateFolder::Holders(const std::string& base,
                                                      const std::string& role) {
  std::vector<std::string> paths = {base};
  for (int number = 1; number <= kMostProcesses; ++number)
    paths.push_back(PathOf(base, role, number));
  std::vector<Holder> holders;
  for (const std::string& path : paths) {
    if (const pid_t process = HolderOf(path); process > 0) holders.push_back({path, process});
  }
  return holders;
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
