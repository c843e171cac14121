// Files: mapping, reading with a bound, and writing that never leaves half a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace potluck {

// Which bytes a path led to: where it leads to the same file of the same size and time, they are
// taken for the same.
struct FileIdentity {
  uint64_t inode = 0;
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;  // since 1970

  bool operator==(const FileIdentity&) const = default;
};

// As MappedFile::Open for errors.
absl::StatusOr<FileIdentity> IdentifyFile(const std::string& path);

// A whole file mapped for reading. Thread-safe. The mapping lives as long as the object. A file
// that another program shortens while it is mapped ends the process with SIGBUS, as for any
// mapping.
class MappedFile {
 public:
  // NotFound, PermissionDenied or InvalidArgument (a folder, a pipe), each naming the path. An
  // empty file maps to no bytes.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_bytes_}; }
  const std::string& path() const { return path_; }
  const FileIdentity& identity() const { return identity_; }  // when it was opened

  // Tells the kernel that `part`, a part of bytes(), is not needed for now: its pages leave this
  // process's resident memory and are read again when touched.
  void DropPages(std::span<const std::byte> part) const;

 private:
  MappedFile(std::string path, const FileIdentity& identity, const std::byte* data)
      : path_(std::move(path)),
        identity_(identity),
        data_(data),
        size_bytes_(identity.size_bytes) {}

  std::string path_;
  FileIdentity identity_;
  const std::byte* data_;
  size_t size_bytes_;
};

// From the root, without "." and ".."; the path itself where the working folder is gone.
std::string AbsolutePath(const std::string& path);

// The whole file. ResourceExhausted where it is longer than `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes);

// Writes a temporary file beside `path`, syncs it and renames it: `path` holds the old or the new
// bytes, never a part, even on a full disk (ResourceExhausted).
absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes);

}  // namespace potluck
