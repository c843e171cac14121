// Norm, rotation, activations and sums: one source for every instruction set. Loops that the
// compiler turns into vectors go through a small array of their own, so that outputs in the place
// of inputs cost nothing.
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/float_kernel_functions.h"
#include "kernels/cpu/lanes.h"
#include "kernels/numerics_loops.h"

namespace potluck::kernels {
namespace {

enum { kChunk = 64 };  // elements that a loop over an elementary function takes at a time

static inline int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// The last elements of a row, in lanes of which the others are `rest`.
static inline Lanes LoadRest(const float* x, int64_t count, float rest) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = rest;
  memcpy(lanes, x, count * sizeof(float));
  return LanesLoad(lanes);
}

static inline void StoreRest(float* y, int64_t count, Lanes a) {
  float lanes[16];
  LanesStore(lanes, a);
  memcpy(y, lanes, count * sizeof(float));
}

static inline float Silu(float x) { return x / (1.0f + LoopExp(-x)); }
static inline float GeluTanh(float x) {
  const float cubic = __builtin_fmaf((0.044715f * x) * x, x, x);
  return (0.5f * x) * (1.0f + LoopTanh(0.7978845608028654f * cubic));
}
static inline float GeluErf(float x) {
  return (0.5f * x) * (1.0f + LoopErf(x * 0.7071067811865476f));
}

// y = function(gate) * up, chunk by chunk.
#define POTLUCK_GATE_LOOP(function)                          \
  for (int64_t begin = 0; begin < count; begin += kChunk) {  \
    const int64_t length = Smaller(kChunk, count - begin);   \
    float result[kChunk];                                    \
    for (int64_t i = 0; i < length; ++i) {                   \
      result[i] = function(gate[begin + i]) * up[begin + i]; \
    }                                                        \
    memcpy(y + begin, result, length * sizeof(float));       \
  }

}  // namespace

void POTLUCK_FOR_TARGET(RmsNormRow)(const float* x, const float* gain, float eps, int64_t dim,
                                    float* y) {
  const int64_t whole = dim / 16 * 16;
  Lanes squares = LanesZero();
  for (int64_t d = 0; d < whole; d += 16) {
    const Lanes a = LanesLoad(x + d);
    squares = LanesFma(a, a, squares);
  }
  if (whole < dim) {
    const Lanes a = LoadRest(x + whole, dim - whole, 0.0f);
    squares = LanesFma(a, a, squares);
  }
  const float mean = SumTree(squares) / (float)dim;
  const float r = 1.0f / __builtin_sqrtf(mean + eps);
  const Lanes all_r = LanesSet(r);
  for (int64_t d = 0; d < whole; d += 16) {
    LanesStore(y + d, LanesMul(LanesMul(LanesLoad(x + d), all_r), LanesLoad(gain + d)));
  }
  for (int64_t d = whole; d < dim; ++d) y[d] = (x[d] * r) * gain[d];
}

void POTLUCK_FOR_TARGET(RopeAngles)(const float* inv_freq, float position, float magnitude,
                                    int64_t count, float* cosine, float* sine) {
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int64_t length = Smaller(kChunk, count - begin);
    float c[kChunk], s[kChunk];
    for (int64_t i = 0; i < length; ++i) {
      LoopSinCos(position * inv_freq[begin + i], &s[i], &c[i]);
      c[i] = c[i] * magnitude;
      s[i] = s[i] * magnitude;
    }
    memcpy(cosine + begin, c, length * sizeof(float));
    memcpy(sine + begin, s, length * sizeof(float));
  }
}

void POTLUCK_FOR_TARGET(RopeHalves)(float* __restrict first, float* __restrict second,
                                    const float* __restrict cosine, const float* __restrict sine,
                                    int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float a = first[i], b = second[i];
    first[i] = __builtin_fmaf(a, cosine[i], -(b * sine[i]));
    second[i] = __builtin_fmaf(b, cosine[i], a * sine[i]);
  }
}

void POTLUCK_FOR_TARGET(RopePairs)(float* __restrict x, const float* __restrict cosine,
                                   const float* __restrict sine, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = __builtin_fmaf(a, cosine[i], -(b * sine[i]));
    x[2 * i + 1] = __builtin_fmaf(b, cosine[i], a * sine[i]);
  }
}

void POTLUCK_FOR_TARGET(GatedActivationRow)(int function, const float* gate, const float* up,
                                            int64_t count, float* y) {
  // In the order of GateFunction (kernels/elementwise.h).
  if (function == 0) {
    POTLUCK_GATE_LOOP(Silu)
  } else if (function == 1) {
    POTLUCK_GATE_LOOP(GeluTanh)
  } else {
    POTLUCK_GATE_LOOP(GeluErf)
  }
}

void POTLUCK_FOR_TARGET(AddRow)(const float* a, const float* b, int64_t count, float* y) {
  const int64_t whole = count / 16 * 16;
  for (int64_t i = 0; i < whole; i += 16) {
    LanesStore(y + i, LanesAdd(LanesLoad(a + i), LanesLoad(b + i)));
  }
  for (int64_t i = whole; i < count; ++i) y[i] = a[i] + b[i];
}

void POTLUCK_FOR_TARGET(ScaleRow)(float* x, float factor, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = x[i] * factor;
}

void POTLUCK_FOR_TARGET(SoftCapRow)(float* x, float cap, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = cap * LoopTanh(x[i] / cap);
}

void POTLUCK_FOR_TARGET(SoftmaxRow)(const float* x, int64_t count, float* p) {
  const int64_t whole = count / 16 * 16;
  float max = -__builtin_inff();
  for (int64_t i = 0; i < count; ++i) max = x[i] > max ? x[i] : max;
  for (int64_t i = 0; i < count; ++i) p[i] = LoopExp(x[i] - max);
  Lanes sums = LanesZero();
  for (int64_t i = 0; i < whole; i += 16) sums = LanesAdd(sums, LanesLoad(p + i));
  if (whole < count) sums = LanesAdd(sums, LoadRest(p + whole, count - whole, 0.0f));
  const float sum = SumTree(sums);
  for (int64_t i = 0; i < count; ++i) p[i] = p[i] / sum;
}

void POTLUCK_FOR_TARGET(ExpertCombineRow)(const float* x, int64_t x_stride, const float* weights,
                                          int64_t used, int64_t count, float* y) {
  const int64_t whole = count / 16 * 16;
  for (int64_t i = 0; i < whole; i += 16) {
    Lanes sum = LanesZero();
    for (int64_t j = 0; j < used; ++j) {
      sum = LanesFma(LanesSet(weights[j]), LanesLoad(x + j * x_stride + i), sum);
    }
    LanesStore(y + i, sum);
  }
  if (whole == count) return;
  Lanes sum = LanesZero();
  for (int64_t j = 0; j < used; ++j) {
    sum = LanesFma(LanesSet(weights[j]), LoadRest(x + j * x_stride + whole, count - whole, 0.0f),
                   sum);
  }
  StoreRest(y + whole, count - whole, sum);
}

}  // namespace potluck::kernels
