// Attention of a step's new tokens over a paged KV cache, and the writes into it.
//
// A pool holds the keys and values of one layer in blocks of 32 positions. A block holds K as (G,
// 32, Dh) and then V as (G, 32, Dh), in f32, f16 or q8_0 (blocks of 32 along Dh). A sequence's
// block table lists its blocks: its slot s lies at row s mod 32 of block table[s / 32]. Committed
// tokens have slot = position; drafted ones may lie at later slots until they are accepted.
//
// KvWrite:    pool[slot[t]] = (k[t], v[t]), rounded to nearest even (f16), or quantised as Q8_0 is:
//             d = f16(amax / 127), q = nearest-even(x * (1 / (amax / 127))), 0 where amax < 2^-100;
//             a block with an infinity or a NaN in it becomes d = NaN, q = 0.
// Attention:  for each token t and head h, g = h / (H / G), over the visible positions j:
//               score = softcap(scale * q[t,h,:]·k[j,g,:])
//               out[t,h,:] = sum_j softmax_j(score) * v[j,g,:]
//             with softcap(z) = c * tanh(z / c) where c > 0, else z.
//             A token at position p sees positions [max(0, p + 1 - window), p] (window 0: all of
//             them): those below linear_len[t] at the slot of the same number, the others, its
//             ancestors in the step and itself, at tail_slots[tail_begin[t]...].
//
// Order (cpu-1): q·k in 16 lanes over Dh (lane = fma(q, k, lane)), tree as in rms_norm.h; z = dot *
//   scale. Positions are taken in spans [256 i, 256 i + 256), ascending.
//   Within a span: m = max score; w_j = exp(score_j - m); l = sum of w_j in 16 lanes by (j mod 16),
//   tree; o[d] = fma(w_j, v[j,d], o[d]) for ascending j, from 0.
//   The first span that holds a visible position gives (M, L, O). Each further one is merged:
//   M' = max(M, m), a = exp(M - M'), b = exp(m - M'), L = fma(L, a, l * b),
//   O[d] = fma(O[d], a, o[d] * b). Then out[d] = O[d] / L.
//   Maxima start at -inf and pass over NaN, which comes out all the same through exp.
// Shapes: q (T, H, Dh) f32; k, v (T, G, Dh) f32; out (T, H, Dh) f32.
// Alias:  out must not overlap q. No two tokens of a KvWrite share a place in the pool (the
// caller's
//         word; it is not checked).
// Error:  InvalidArgument for wrong shapes, slots or blocks outside of table or pool;
//         FailedPrecondition for more tokens than Reserve() was told of.
// Source: Dao 2023, arXiv:2307.08691 (online softmax); Kwon et al. 2023, arXiv:2309.06180 (paged
//         KV).
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/shapes.h"
#include "kernels/tensor.h"

namespace potluck::kernels {

// The most that a head may have: attention's scratch space is laid out for it.
inline constexpr int64_t kMaxHeadDim = 512;

struct KvPoolView {
  DType dtype = DType::kF16;  // kF32, kF16 or kQ8_0
  int64_t num_kv_heads = 0;   // G
  int64_t head_dim = 0;       // Dh; a multiple of 32 for kQ8_0
  int64_t num_blocks = 0;
  Buffer* buffer = nullptr;

  // Of K, or of V, of one head in one block.
  int64_t head_bytes() const { return BytesOf(dtype, kKvBlockPositions * head_dim); }
  int64_t block_bytes() const { return 2 * num_kv_heads * head_bytes(); }
};

// Where the tokens of a step read and write; made once per step and attention kind, for all layers.
// Spans have one entry per token, but for the two pools of numbers at the end.
struct KvIndex {
  std::span<const int32_t> position;
  std::span<const int32_t> write_slot;
  std::span<const int32_t> linear_len;
  std::span<const int32_t> tail_begin;    // into tail_slots; position + 1 - linear_len entries
  std::span<const int32_t> table_begin;   // into block_tables
  std::span<const int32_t> table_length;  // blocks in the sequence's table
  std::span<const int32_t> tail_slots;
  std::span<const int32_t> block_tables;  // -1: released (left the window); never touched
};

struct KvWriteArgs {
  TensorView k, v;
  KvPoolView pool;
  const KvIndex* index = nullptr;
};

struct AttentionArgs {
  TensorView q;
  KvPoolView pool;
  const KvIndex* index = nullptr;
  float scale = 1;
  float softcap = 0;   // 0: none
  int32_t window = 0;  // 0: none
  TensorView out;
};

absl::Status Validate(const KvWriteArgs& args);
absl::Status Validate(const AttentionArgs& args);

}  // namespace potluck::kernels
