#include "model/store/blob_bytes.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "model/store/blob.h"
#include "model/store/cache_folder.h"

namespace potluck::model {

absl::StatusOr<uint64_t> ReadAt(int descriptor, std::span<std::byte> out, uint64_t offset,
                                const std::string& path) {
  uint64_t done = 0;
  while (done < out.size()) {
    const ssize_t count =
        pread(descriptor, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CacheFileError(errno, "read", path);
    if (count == 0) break;
    done += count;
  }
  return done;
}

absl::StatusOr<uint64_t> ReadBlobChunk(const std::string& path, const ByteRange& range,
                                       uint64_t index, std::span<std::byte> out) {
  const uint64_t chunks = NumChunks(range.size_bytes);
  if (index >= chunks) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk ", index, " of a blob that has ", chunks));
  }
  const uint64_t bytes = ChunkBytes(range.size_bytes, index);
  if (out.size() < bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a buffer of ", out.size(), " bytes for a chunk of ", bytes));
  }
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return CacheFileError(errno, "open", path);
  POTLUCK_ASSIGN_OR_RETURN(const uint64_t read, ReadAt(file.number(), out.first(bytes),
                                                       range.offset + index * kChunkBytes, path));
  if (read != bytes) return absl::DataLossError(absl::StrCat(path, " was cut off"));
  return bytes;
}

}  // namespace potluck::model
