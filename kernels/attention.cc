#include "kernels/attention.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "kernels/view_checks.h"

namespace potluck::kernels {
namespace {

absl::Status CheckPool(const KvPoolView& pool) {
  if (pool.dtype != DType::kF32 && pool.dtype != DType::kF16 && pool.dtype != DType::kQ8_0) {
    return absl::InvalidArgumentError("a KV pool holds f32, f16 or q8_0");
  }
  if (pool.num_kv_heads < 1 || pool.head_dim < 1 || pool.head_dim > kMaxHeadDim) {
    return absl::InvalidArgumentError(absl::StrCat("a KV pool of ", pool.num_kv_heads, " heads of ",
                                                   pool.head_dim, "; heads have 1 to ",
                                                   kMaxHeadDim));
  }
  if (pool.dtype == DType::kQ8_0 && pool.head_dim % 32 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("heads of ", pool.head_dim,
                     " cannot be kept in q8_0, which takes multiples of 32: "
                     "use --kv-type f16"));
  }
  if (pool.buffer == nullptr || pool.num_blocks < 0 ||
      pool.num_blocks > pool.buffer->size_bytes() / pool.block_bytes()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the KV pool's buffer is too small for ", pool.num_blocks, " blocks"));
  }
  return absl::OkStatus();
}

absl::Status CheckIndexSizes(const KvIndex* index, int64_t num_tokens) {
  if (index == nullptr) return absl::InvalidArgumentError("attention has no KV index");
  const auto tokens = static_cast<size_t>(num_tokens);
  if (index->position.size() != tokens || index->write_slot.size() != tokens ||
      index->linear_len.size() != tokens || index->tail_begin.size() != tokens ||
      index->table_begin.size() != tokens || index->table_length.size() != tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("the KV index is not for a step of ", num_tokens, " tokens"));
  }
  return absl::OkStatus();
}

absl::Status CheckTable(const KvIndex& index, int64_t t) {
  const int64_t begin = index.table_begin[t], length = index.table_length[t];
  if (begin >= 0 && length >= 0 &&
      begin + length <= static_cast<int64_t>(index.block_tables.size())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("token ", t, " has blocks [", begin, ", ",
                                                 begin + length, ") of tables with ",
                                                 index.block_tables.size()));
}

bool BlockIsGood(const KvPoolView& pool, const KvIndex& index, int64_t t, int64_t slot) {
  if (slot < 0 || slot / kKvBlockPositions >= index.table_length[t]) return false;
  const int32_t block = index.block_tables[index.table_begin[t] + slot / kKvBlockPositions];
  return block >= 0 && block < pool.num_blocks;
}

absl::Status BadSlot(int64_t t, int64_t slot) {
  return absl::InvalidArgumentError(
      absl::StrCat("token ", t, " uses slot ", slot, ", which has no block in its table or pool"));
}

// The first visible position of token t.
int64_t FirstVisible(const AttentionArgs& args, int64_t t) {
  if (args.window <= 0) return 0;
  return std::max<int64_t>(0, int64_t{args.index->position[t]} + 1 - args.window);
}

absl::Status CheckTail(const AttentionArgs& args, int64_t t, int64_t first_visible) {
  const KvIndex& index = *args.index;
  const int64_t position = index.position[t], linear = index.linear_len[t];
  if (position < linear) return absl::OkStatus();
  const int64_t begin = index.tail_begin[t];
  if (begin < 0 || begin + position + 1 - linear > static_cast<int64_t>(index.tail_slots.size())) {
    return absl::InvalidArgumentError(absl::StrCat("token ", t, " lacks tail slots for its last ",
                                                   position + 1 - linear, " positions"));
  }
  for (int64_t j = std::max(first_visible, linear); j <= position; ++j) {
    const int32_t slot = index.tail_slots[begin + j - linear];
    if (!BlockIsGood(args.pool, index, t, slot)) return BadSlot(t, slot);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const KvWriteArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckPool(args.pool));
  const int64_t heads = args.pool.num_kv_heads, head_dim = args.pool.head_dim;
  POTLUCK_RETURN_IF_ERROR(CheckView(args.k, "kv_write's k", DType::kF32, {-1, heads, head_dim}));
  const int64_t num_tokens = args.k.shape[0];
  POTLUCK_RETURN_IF_ERROR(
      CheckView(args.v, "kv_write's v", DType::kF32, {num_tokens, heads, head_dim}));
  POTLUCK_RETURN_IF_ERROR(CheckIndexSizes(args.index, num_tokens));
  for (int64_t t = 0; t < num_tokens; ++t) {
    POTLUCK_RETURN_IF_ERROR(CheckTable(*args.index, t));
    const int32_t slot = args.index->write_slot[t];
    if (!BlockIsGood(args.pool, *args.index, t, slot)) return BadSlot(t, slot);
  }
  return absl::OkStatus();
}

absl::Status Validate(const AttentionArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckPool(args.pool));
  const int64_t head_dim = args.pool.head_dim;
  POTLUCK_RETURN_IF_ERROR(CheckView(args.q, "attention's q", DType::kF32, {-1, -1, head_dim}));
  const int64_t num_tokens = args.q.shape[0], num_heads = args.q.shape[1];
  POTLUCK_RETURN_IF_ERROR(
      CheckView(args.out, "attention's out", DType::kF32, {num_tokens, num_heads, head_dim}));
  if (num_heads < 1 || num_heads % args.pool.num_kv_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(num_heads, " query heads cannot share ", args.pool.num_kv_heads, " KV heads"));
  }
  if (!std::isfinite(args.scale) || !std::isfinite(args.softcap) || args.softcap < 0 ||
      args.window < 0) {
    return absl::InvalidArgumentError("attention's scale, softcap or window is out of range");
  }
  POTLUCK_RETURN_IF_ERROR(CheckApart(args.out, "attention's out", args.q, "q"));
  POTLUCK_RETURN_IF_ERROR(CheckIndexSizes(args.index, num_tokens));
  const KvIndex& index = *args.index;
  // Tokens of one sequence stand together: blocks that the token before has had checked are good.
  int64_t good_begin = 0, good_end = 0;
  for (int64_t t = 0; t < num_tokens; ++t) {
    POTLUCK_RETURN_IF_ERROR(CheckTable(index, t));
    if (index.position[t] < 0 || index.linear_len[t] < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", t, " has a negative position or linear length"));
    }
    const int64_t first = FirstVisible(args, t);
    const int64_t linear_end =
        std::min<int64_t>(index.linear_len[t], int64_t{index.position[t]} + 1);
    const bool same_table = t > 0 && index.table_begin[t] == index.table_begin[t - 1] &&
                            index.table_length[t] == index.table_length[t - 1];
    if (!same_table || first < good_begin || first > good_end) good_begin = good_end = first;
    for (; good_end < linear_end;
         good_end = (good_end / kKvBlockPositions + 1) * kKvBlockPositions) {
      if (!BlockIsGood(args.pool, index, t, good_end)) return BadSlot(t, good_end);
    }
    POTLUCK_RETURN_IF_ERROR(CheckTail(args, t, first));
  }
  return absl::OkStatus();
}

}  // namespace potluck::kernels
