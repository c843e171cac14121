#include "tests/model/kv/kv_contents.h"

#include <algorithm>
#include <cstring>

namespace potluck::model {
namespace {

constexpr int32_t kBlock = kernels::kKvBlockPositions;

// The bytes of one head's key (or value) of a slot, as kernels/attention.h lays them out.
std::span<std::byte> RowOf(const KvCache& cache, int64_t layer, size_t token, int32_t slot,
                           int64_t head) {
  const kernels::KvPoolView pool = cache.pool(layer);
  const kernels::KvIndex& index = cache.index(layer);
  if (slot < 0 || slot / kBlock >= index.table_length[token]) return {};
  const int32_t block = index.block_tables[index.table_begin[token] + slot / kBlock];
  if (block < 0 || block >= pool.num_blocks) return {};
  const int64_t row_bytes = pool.head_bytes() / kBlock;
  return {pool.buffer->host() + block * pool.block_bytes() + head * pool.head_bytes() +
              slot % kBlock * row_bytes,
          static_cast<size_t>(row_bytes)};
}

uint64_t Mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

std::vector<std::byte> RowContent(size_t bytes, uint64_t path, int64_t layer, int64_t head) {
  std::vector<std::byte> content(bytes);
  const uint64_t value = Mixed(path + 0x9e3779b97f4a7c15u * (64 * layer + head + 1));
  for (size_t i = 0; i < bytes; i += sizeof value) {
    std::memcpy(content.data() + i, &value, std::min(sizeof value, bytes - i));
  }
  return content;
}

int32_t SlotOfPosition(const kernels::KvIndex& index, size_t token, int32_t position) {
  const int32_t linear = index.linear_len[token];
  return position < linear ? position
                           : index.tail_slots[index.tail_begin[token] + position - linear];
}

}  // namespace

uint64_t PathHash(uint64_t parent, TokenId token) {
  return Mixed(parent * 3 + 0x2545f4914f6cdd1du + static_cast<uint64_t>(token));
}

void WriteRow(const KvCache& cache, size_t i, uint64_t path) {
  for (int64_t layer = 0; layer < cache.num_layers(); ++layer) {
    for (int64_t head = 0; head < 2 * cache.pool(layer).num_kv_heads; ++head) {
      const std::span<std::byte> row =
          RowOf(cache, layer, i, cache.index(layer).write_slot[i], head);
      ASSERT_FALSE(row.empty()) << "token " << i << " has nowhere to write to";
      std::ranges::copy(RowContent(row.size(), path, layer, head), row.begin());
    }
  }
}

::testing::AssertionResult SeesPath(const KvCache& cache, size_t i,
                                    std::span<const uint64_t> paths) {
  for (int64_t layer = 0; layer < cache.num_layers(); ++layer) {
    const kernels::KvIndex& index = cache.index(layer);
    const int32_t position = index.position[i];
    const int32_t window = cache.window(layer);
    if (position + 1 != static_cast<int32_t>(paths.size())) {
      return ::testing::AssertionFailure()
             << "token " << i << " stands at " << position << " instead of " << paths.size() - 1;
    }
    for (int32_t p = window == 0 ? 0 : std::max(0, position + 1 - window); p <= position; ++p) {
      const int32_t slot = SlotOfPosition(index, i, p);
      for (int64_t head = 0; head < 2 * cache.pool(layer).num_kv_heads; ++head) {
        const std::span<const std::byte> row = RowOf(cache, layer, i, slot, head);
        if (row.empty() ||
            !std::ranges::equal(row, RowContent(row.size(), paths[p], layer, head))) {
          return ::testing::AssertionFailure()
                 << "token " << i << " at position " << position << " finds "
                 << (row.empty() ? "no block" : "another row") << " for position " << p << " (slot "
                 << slot << ") in layer " << layer << ", head " << head;
        }
      }
    }
  }
  return ::testing::AssertionSuccess();
}

void AppendRun(Step& step, SequenceId sequence, int32_t committed, std::span<const TokenId> ids,
               TokenKind kind, uint16_t adapter_slot) {
  int32_t parent = kCommittedEnd;
  int32_t position = committed;
  for (const TokenId id : ids) {
    step.tokens.push_back({.sequence = sequence,
                           .id = id,
                           .position = position++,
                           .parent = parent,
                           .kind = kind,
                           .adapter_slot = adapter_slot});
    parent = static_cast<int32_t>(step.tokens.size()) - 1;
  }
}

}  // namespace potluck::model
