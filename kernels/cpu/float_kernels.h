// The float operations' inner loops, once per instruction set. Each gives the bits that the
// contracts in kernels/rms_norm.h, rope.h, attention.h and elementwise.h prescribe. Callers have
// validated: nothing is checked here. No function allocates; all may run on several threads.
//
// A C header, like all that files per instruction set include: an inline function of C++'s library,
// compiled for AVX-512 there, could become the copy that everybody calls.
#pragma once

#include <stdint.h>

namespace potluck::kernels {

// How a KV pool stores its rows.
enum KvEncoding { kKvFloat, kKvHalf, kKvQ8 };

// Rows of queries and of attention's sums lie so many floats apart: Dh rounded up to lanes, the
// rest zero. At most kMaxPaddedHeadDim, which the kernels' own arrays are made for.
static constexpr int64_t kMaxPaddedHeadDim = 512;
static inline int64_t PaddedHeadDim(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

// Consecutive rows of keys or values: at most kMaxKvRows, of one head in one block.
static constexpr int64_t kMaxKvRows = 32;
struct KvRows {
  enum KvEncoding encoding;
  const void* data;
  int64_t row_bytes;
  int64_t count;
  int64_t head_dim;
};

// A row of weights holds those of a span's 256 positions.
enum { kSpanRow = 256 };

struct FloatKernels {
  // y may equal x.
  void (*rms_norm)(const float* x, const float* gain, float eps, int64_t dim, float* y);

  // cosine[i] = cos(position * inv_freq[i]) * magnitude, sine likewise; every |angle| is at most
  // POTLUCK_LOOP_SINCOS_LIMIT (kernels/numerics_loops.h).
  void (*rope_angles)(const float* inv_freq, float position, float magnitude, int64_t count,
                      float* cosine, float* sine);
  // Turns the pairs (a[i], b[i]), or (x[2i], x[2i+1]).
  void (*rope_halves)(float* a, float* b, const float* cosine, const float* sine, int64_t count);
  void (*rope_pairs)(float* x, const float* cosine, const float* sine, int64_t count);

  // Outputs may equal inputs. `function` is a GateFunction.
  void (*gated_activation)(int function, const float* gate, const float* up, int64_t count,
                           float* y);
  void (*add)(const float* a, const float* b, int64_t count, float* y);
  void (*scale)(float* x, float factor, int64_t count);
  void (*soft_cap)(float* x, float cap, int64_t count);
  void (*softmax)(const float* x, int64_t count, float* p);
  // y = sum over j < used of weights[j] * (x + j * x_stride).
  void (*expert_combine)(const float* x, int64_t x_stride, const float* weights, int64_t used,
                         int64_t count, float* y);

  void (*encode_kv)(enum KvEncoding encoding, const float* x, int64_t head_dim, void* to);

  // scores[r * kSpanRow + j] = q[r] . rows[j], for num_queries rows of q.
  void (*attention_scores)(const struct KvRows* rows, const float* q, int64_t num_queries,
                           float* scores);
  // Turns a span's raw products at [begin, end) of a row into weights w, 0 elsewhere in their
  // lanes; gives the maximum of the scores and the sum of the weights.
  void (*attention_softmax)(float* scores, int64_t begin, int64_t end, float scale, float softcap,
                            float* max, float* sum);
  // out[r] += w[r, j] * rows[j] for j in [begin[r], end[r]), ascending, within the rows.
  void (*attention_values)(const struct KvRows* rows, const float* weights, const int32_t* begin,
                           const int32_t* end, int64_t num_queries, float* out);
  // Adds a span's (max, sum, out) to the total; `padded` is the length of out.
  void (*attention_merge)(const float* span_max, const float* span_sum, const float* span_out,
                          int64_t padded, float* max, float* sum, float* out);
  // y = out / sum.
  void (*attention_finish)(const float* out, float sum, int64_t head_dim, float* y);
};

#define POTLUCK_CPU_TARGET(target) extern const FloatKernels FloatKernels_##target;
#include "kernels/targets.inc"
#undef POTLUCK_CPU_TARGET

// A function for the instruction set that the file is compiled for: its name with the target's.
#ifdef POTLUCK_TARGET
#define POTLUCK_JOIN_NAMES(name, target) name##_##target
#define POTLUCK_JOIN(name, target) POTLUCK_JOIN_NAMES(name, target)
#define POTLUCK_FOR_TARGET(name) POTLUCK_JOIN(name, POTLUCK_TARGET)
#endif

}  // namespace potluck::kernels
