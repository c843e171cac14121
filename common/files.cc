#include "common/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace potluck {
namespace {

absl::Status FileError(int error, absl::string_view action, const std::string& path) {
  const absl::StatusCode code = error == EDQUOT || error == EFBIG
                                    ? absl::StatusCode::kResourceExhausted
                                    : absl::ErrnoToStatusCode(error);
  return absl::Status(code, absl::StrCat("cannot ", action, " ", path, ": ", std::strerror(error)));
}

struct OpenedFile {
  int descriptor;
  FileIdentity identity;
};

// The caller closes the descriptor.
absl::StatusOr<OpenedFile> OpenForReading(const std::string& path) {
  // O_NONBLOCK: opening a pipe by mistake must not hang.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return FileError(errno, "open", path);
  struct stat info;
  if (fstat(descriptor, &info) != 0) {
    const int error = errno;
    close(descriptor);
    return FileError(error, "read", path);
  }
  if (!S_ISREG(info.st_mode)) {
    close(descriptor);
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is ", S_ISDIR(info.st_mode) ? "a folder" : "not a regular file"));
  }
  return OpenedFile{
      descriptor,
      {.inode = info.st_ino,
       .size_bytes = static_cast<uint64_t>(info.st_size),
       .modified_ns = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec}};
}

absl::Status WriteAll(int descriptor, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return FileError(errno, "write", path);
    }
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FileIdentity> IdentifyFile(const std::string& path) {
  POTLUCK_ASSIGN_OR_RETURN(const OpenedFile file, OpenForReading(path));
  close(file.descriptor);
  return file.identity;
}

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  POTLUCK_ASSIGN_OR_RETURN(const OpenedFile file, OpenForReading(path));
  absl::Cleanup close_file = [&] { close(file.descriptor); };
  const std::byte* data = nullptr;
  if (file.identity.size_bytes > 0) {
    void* mapping =
        mmap(nullptr, file.identity.size_bytes, PROT_READ, MAP_SHARED, file.descriptor, 0);
    if (mapping == MAP_FAILED) return FileError(errno, "map", path);
    data = static_cast<const std::byte*>(mapping);
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, file.identity, data));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_bytes_);
}

void MappedFile::DropPages(std::span<const std::byte> part) const {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::string AbsolutePath(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  POTLUCK_ASSIGN_OR_RETURN(const OpenedFile file, OpenForReading(path));
  absl::Cleanup close_file = [&] { close(file.descriptor); };
  std::string bytes;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = read(file.descriptor, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError(errno, "read", path);
    if (count == 0) return bytes;
    if (bytes.size() + count > max_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(path, " is longer than the ", max_bytes,
                                                       " bytes that are read of such a file"));
    }
    bytes.append(buffer, count);
  }
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes) {
  std::string temporary = path + ".XXXXXX";
  const int descriptor = mkostemp(temporary.data(), O_CLOEXEC);
  if (descriptor < 0) return FileError(errno, "create a file beside", path);
  absl::Status status = WriteAll(descriptor, bytes, path);
  if (status.ok() && fsync(descriptor) != 0) status = FileError(errno, "write", path);
  if (close(descriptor) != 0 && status.ok()) status = FileError(errno, "write", path);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = FileError(errno, "rename a file to", path);
  }
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

}  // namespace potluck
