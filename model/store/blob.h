// A blob: a run of a model's bytes (a tensor, an expert's matrix, a document), known by its
// content.
//
// It is cut into chunks of 4 MiB, the last one shorter, each with its SHA-256. Its id is the
// SHA-256 of these digests, one after another, and its size (8 bytes, little-endian): who knows a
// blob's id can check its list of chunks, and who has that list can check every chunk by itself,
// from whomever it came. Source: docs/formats.md, "Manifests".
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/sha256.h"

namespace potluck::model {

inline constexpr uint64_t kChunkBytes = uint64_t{4} << 20;

struct Blob {
  Sha256Digest id;
  uint64_t size_bytes = 0;           // never 0
  std::vector<Sha256Digest> chunks;  // NumChunks(size_bytes) of them

  bool operator==(const Blob&) const = default;
};

inline uint64_t NumChunks(uint64_t size_bytes) {
  return size_bytes / kChunkBytes + (size_bytes % kChunkBytes != 0);
}
// Of chunk `index` of a blob; `index` is below NumChunks(size_bytes).
inline uint64_t ChunkBytes(uint64_t size_bytes, uint64_t index) {
  return std::min(kChunkBytes, size_bytes - index * kChunkBytes);
}

// `chunks` holds NumChunks(size_bytes) digests.
Blob BlobOfChunks(uint64_t size_bytes, std::vector<Sha256Digest> chunks);
Blob BlobOf(std::span<const std::byte> bytes);

}  // namespace potluck::model
