// The inner loops of attention: one source for every instruction set, written over the 16 lanes of
// cpu-1. Stored keys and values are decoded to floats a few rows at a time, once for all queries.
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/float_kernel_functions.h"
#include "kernels/cpu/lanes.h"
#include "kernels/formats/floats.h"
#include "kernels/numerics_loops.h"

namespace potluck::kernels {
namespace {

enum {
  kKeysAtOnce = 4,   // rows of keys that a query meets at a time
  kValueChunk = 64,  // elements of a row of values that stay in registers
  kQ8BlockBytes = 34
};

static inline Lanes LoadQ8(const uint8_t* row, int64_t d) {
  const uint8_t* block = row + d / 32 * kQ8BlockBytes;
  uint16_t scale;
  memcpy(&scale, block, sizeof(scale));
  return LanesMul(LanesSet(FloatFromHalf(scale)), LanesLoadInt8((const int8_t*)block + 2 + d % 32));
}

// Elements [begin, begin + padded) of a row; those from head_dim on are zero. `begin` is a multiple
// of 32.
static inline void DecodeKvRow(const struct KvRows* rows, int64_t row, int64_t begin,
                               int64_t padded, float* to) {
  const uint8_t* from = (const uint8_t*)rows->data + row * rows->row_bytes;
  const int64_t left = rows->head_dim - begin;
  const int64_t whole = (left < padded ? left : padded) / 16 * 16;
  if (rows->encoding == kKvQ8) {
    for (int64_t d = 0; d < whole; d += 16) LanesStore(to + d, LoadQ8(from, begin + d));
    return;
  }
  const int64_t size = rows->encoding == kKvHalf ? 2 : 4;
  from += begin * size;
  for (int64_t d = 0; d < whole; d += 16) {
    LanesStore(to + d, rows->encoding == kKvHalf ? LanesLoadHalf(from + 2 * d)
                                                 : LanesLoad((const float*)from + d));
  }
  if (whole == padded) return;
  uint8_t last[64] = {0};
  memcpy(last, from + whole * size, (left - whole) * size);
  LanesStore(to + whole,
             rows->encoding == kKvHalf ? LanesLoadHalf(last) : LanesLoad((const float*)last));
}

// Four keys, `padded` floats apart, against `count` queries.
template <int count>
static inline void Dots(const float* keys, const float* q, int64_t padded, float sums[][4]) {
  Lanes lanes[count][kKeysAtOnce];
  for (int r = 0; r < count; ++r) {
    for (int j = 0; j < kKeysAtOnce; ++j) lanes[r][j] = LanesZero();
  }
  for (int64_t d = 0; d < padded; d += 16) {
    Lanes query[count];
    for (int r = 0; r < count; ++r) query[r] = LanesLoad(q + r * padded + d);
    for (int j = 0; j < kKeysAtOnce; ++j) {
      const Lanes key = LanesLoad(keys + j * padded + d);
      for (int r = 0; r < count; ++r) lanes[r][j] = LanesFma(query[r], key, lanes[r][j]);
    }
  }
  for (int r = 0; r < count; ++r) {
    SumTree4(lanes[r][0], lanes[r][1], lanes[r][2], lanes[r][3], sums[r]);
  }
}

// out[0, 16 * count) += w[j] * values[j] for j in [begin, end).
template <int count>
static inline void AddValues(const float* values, int64_t stride, const float* w, int64_t begin,
                             int64_t end, float* out) {
  Lanes sums[count];
  for (int i = 0; i < count; ++i) sums[i] = LanesLoad(out + 16 * i);
  for (int64_t j = begin; j < end; ++j) {
    const Lanes weight = LanesSet(w[j]);
    for (int i = 0; i < count; ++i) {
      sums[i] = LanesFma(weight, LanesLoad(values + j * stride + 16 * i), sums[i]);
    }
  }
  for (int i = 0; i < count; ++i) LanesStore(out + 16 * i, sums[i]);
}

static inline void EncodeQ8Block(const float* x, uint8_t* to) {
  uint32_t amax_bits = 0;
  for (int i = 0; i < 32; ++i) {
    const uint32_t bits = BitsOfFloat(x[i]) & 0x7fffffffu;
    amax_bits = bits > amax_bits ? bits : amax_bits;
  }
  const int finite = amax_bits < 0x7f800000u;
  const float amax = FloatFromBits(amax_bits);
  const float scale = amax / 127.0f;
  const uint16_t half = finite ? HalfFromFloat(scale) : (uint16_t)0x7e00u;
  memcpy(to, &half, sizeof(half));
  int8_t q[32];
  const float inverse = amax >= 0x1p-100f ? 1.0f / scale : 0.0f;
  for (int i = 0; i < 32; ++i) {
    const float value = finite ? x[i] * inverse : 0.0f;
    // Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in the low bits.
    q[i] = (int8_t)(BitsOfFloat(value + 12582912.0f) & 0xffu);
  }
  memcpy(to + 2, q, sizeof(q));
}

}  // namespace

void POTLUCK_FOR_TARGET(EncodeKv)(enum KvEncoding encoding, const float* x, int64_t head_dim,
                                  void* to) {
  uint8_t* bytes = (uint8_t*)to;
  if (encoding == kKvFloat) {
    memcpy(bytes, x, head_dim * sizeof(float));
  } else if (encoding == kKvQ8) {
    for (int64_t d = 0; d < head_dim; d += 32) EncodeQ8Block(x + d, bytes + d / 32 * kQ8BlockBytes);
  } else {
    const int64_t whole = head_dim / 16 * 16;
    for (int64_t d = 0; d < whole; d += 16) LanesStoreHalf(bytes + 2 * d, LanesLoad(x + d));
    for (int64_t d = whole; d < head_dim; ++d) {
      const uint16_t half = HalfFromFloat(x[d]);
      memcpy(bytes + 2 * d, &half, sizeof(half));
    }
  }
}

void POTLUCK_FOR_TARGET(AttentionScores)(const struct KvRows* rows, const float* q,
                                         int64_t num_queries, float* scores) {
  const int64_t padded = PaddedHeadDim(rows->head_dim);
  float decoded[kKeysAtOnce * kMaxPaddedHeadDim];
  for (int64_t j = 0; j < rows->count; j += kKeysAtOnce) {
    const int64_t count = rows->count - j < kKeysAtOnce ? rows->count - j : (int64_t)kKeysAtOnce;
    for (int64_t i = 0; i < kKeysAtOnce; ++i) {
      // Where fewer are left, the last one stands in for the rest.
      DecodeKvRow(rows, j + (i < count ? i : count - 1), 0, padded, decoded + i * padded);
    }
    float sums[kQueriesAtOnce][4];
    int64_t r = 0;
    for (; r + kQueriesAtOnce <= num_queries; r += kQueriesAtOnce) {
      Dots<kQueriesAtOnce>(decoded, q + r * padded, padded, sums);
      for (int i = 0; i < kQueriesAtOnce; ++i) {
        memcpy(scores + (r + i) * kSpanRow + j, sums[i], count * sizeof(float));
      }
    }
    for (; r < num_queries; ++r) {
      Dots<1>(decoded, q + r * padded, padded, sums);
      memcpy(scores + r * kSpanRow + j, sums[0], count * sizeof(float));
    }
  }
}

void POTLUCK_FOR_TARGET(AttentionSoftmax)(float* scores, int64_t begin, int64_t end, float scale,
                                          float softcap, float* max, float* sum) {
  const int64_t first = begin / 16 * 16, last = (end + 15) / 16 * 16;
  const float lowest = -__builtin_inff();
  for (int64_t j = first; j < begin; ++j) scores[j] = 0.0f;
  for (int64_t j = end; j < last; ++j) scores[j] = 0.0f;
  for (int64_t j = first; j < last; ++j) scores[j] = scores[j] * scale;
  if (softcap > 0.0f) {
    for (int64_t j = first; j < last; ++j) scores[j] = softcap * LoopTanh(scores[j] / softcap);
  }
  for (int64_t j = first; j < begin; ++j) scores[j] = lowest;
  for (int64_t j = end; j < last; ++j) scores[j] = lowest;
  Lanes largest = LanesSet(lowest);
  for (int64_t j = first; j < last; j += 16) largest = LanesMax(LanesLoad(scores + j), largest);
  float lanes[16];
  LanesStore(lanes, largest);
  float m = lowest;
  for (int i = 0; i < 16; ++i) m = lanes[i] > m ? lanes[i] : m;
  for (int64_t j = first; j < last; ++j) scores[j] = LoopExp(scores[j] - m);
  for (int64_t j = first; j < begin; ++j) scores[j] = 0.0f;
  for (int64_t j = end; j < last; ++j) scores[j] = 0.0f;
  Lanes sums = LanesZero();
  for (int64_t j = first; j < last; j += 16) sums = LanesAdd(sums, LanesLoad(scores + j));
  *max = m;
  *sum = SumTree(sums);
}

void POTLUCK_FOR_TARGET(AttentionValues)(const struct KvRows* rows, const float* weights,
                                         const int32_t* begin, const int32_t* end,
                                         int64_t num_queries, float* out) {
  const int64_t padded = PaddedHeadDim(rows->head_dim);
  float decoded[kMaxKvRows * kValueChunk];
  for (int64_t d = 0; d < padded; d += kValueChunk) {
    const int64_t length = padded - d < kValueChunk ? padded - d : (int64_t)kValueChunk;
    for (int64_t j = 0; j < rows->count; ++j) {
      DecodeKvRow(rows, j, d, length, decoded + j * kValueChunk);
    }
    for (int64_t r = 0; r < num_queries; ++r) {
      const float* w = weights + r * kSpanRow;
      float* sums = out + r * padded + d;
      switch (length / 16) {
        case 1:
          AddValues<1>(decoded, kValueChunk, w, begin[r], end[r], sums);
          break;
        case 2:
          AddValues<2>(decoded, kValueChunk, w, begin[r], end[r], sums);
          break;
        case 3:
          AddValues<3>(decoded, kValueChunk, w, begin[r], end[r], sums);
          break;
        default:
          AddValues<4>(decoded, kValueChunk, w, begin[r], end[r], sums);
      }
    }
  }
}

void POTLUCK_FOR_TARGET(AttentionMerge)(const float* span_max, const float* span_sum,
                                        const float* span_out, int64_t padded, float* max,
                                        float* sum, float* out) {
  const float larger = *span_max > *max ? *span_max : *max;
  const float a = LoopExp(*max - larger), b = LoopExp(*span_max - larger);
  *max = larger;
  *sum = __builtin_fmaf(*sum, a, *span_sum * b);
  const Lanes all_a = LanesSet(a), all_b = LanesSet(b);
  for (int64_t d = 0; d < padded; d += 16) {
    LanesStore(out + d,
               LanesFma(LanesLoad(out + d), all_a, LanesMul(LanesLoad(span_out + d), all_b)));
  }
}

void POTLUCK_FOR_TARGET(AttentionFinish)(const float* out, float sum, int64_t head_dim, float* y) {
  for (int64_t d = 0; d < head_dim; ++d) y[d] = out[d] / sum;
}

}  // namespace potluck::kernels
