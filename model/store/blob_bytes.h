// Reading a blob's bytes from whichever file holds them.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace potluck::model {

struct ByteRange {
  uint64_t offset = 0, size_bytes = 0;
};

// Up to out.size() bytes at `offset` of an open file; fewer where it ends.
absl::StatusOr<uint64_t> ReadAt(int descriptor, std::span<std::byte> out, uint64_t offset,
                                const std::string& path);

// Chunk `index` of the blob at `range` of the file, into the front of `out`; returns its size.
// InvalidArgument where the blob has no such chunk or `out` is too short, DataLoss where the file
// ends before it. Reads, never maps: a file that is cut off meanwhile is an error, no crash.
absl::StatusOr<uint64_t> ReadBlobChunk(const std::string& path, const ByteRange& range,
                                       uint64_t index, std::span<std::byte> out);

}  // namespace potluck::model
