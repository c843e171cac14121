#include "model/store/blob.h"

#include <string>
#include <utility>

#include "common/check.h"

namespace potluck::model {

Blob BlobOfChunks(uint64_t size_bytes, std::vector<Sha256Digest> chunks) {
  POTLUCK_CHECK(chunks.size() == NumChunks(size_bytes));
  std::string listed;
  listed.reserve(chunks.size() * sizeof(Sha256Digest) + 8);
  for (const Sha256Digest& chunk : chunks) listed.append(chunk.bytes.begin(), chunk.bytes.end());
  for (int shift = 0; shift < 64; shift += 8) {
    listed.push_back(static_cast<char>(size_bytes >> shift & 0xFF));
  }
  return {Sha256(listed), size_bytes, std::move(chunks)};
}

Blob BlobOf(std::span<const std::byte> bytes) {
  std::vector<Sha256Digest> chunks;
  for (uint64_t i = 0; i < NumChunks(bytes.size()); ++i) {
    chunks.push_back(Sha256(bytes.subspan(i * kChunkBytes, ChunkBytes(bytes.size(), i))));
  }
  return BlobOfChunks(bytes.size(), std::move(chunks));
}

}  // namespace potluck::model
