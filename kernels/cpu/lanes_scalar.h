// The lanes of cpu-1 one by one, for any CPU. See lanes.h.
#pragma once

#include <stdint.h>
#include <string.h>

#include "kernels/formats/floats.h"

namespace potluck::kernels {
namespace {

struct Lanes {
  float lane[16];
};
enum { kQueriesAtOnce = 1 };

#define POTLUCK_EACH_LANE(expression)                    \
  Lanes r;                                               \
  for (int i = 0; i < 16; ++i) r.lane[i] = (expression); \
  return r
static inline Lanes LanesSet(float x) { POTLUCK_EACH_LANE(x); }
static inline Lanes LanesZero() { return LanesSet(0.0f); }
static inline Lanes LanesLoad(const float* p) { POTLUCK_EACH_LANE(p[i]); }
static inline void LanesStore(float* p, Lanes a) { memcpy(p, a.lane, sizeof(a.lane)); }
static inline Lanes LanesAdd(Lanes a, Lanes b) { POTLUCK_EACH_LANE(a.lane[i] + b.lane[i]); }
static inline Lanes LanesMul(Lanes a, Lanes b) { POTLUCK_EACH_LANE(a.lane[i] * b.lane[i]); }
static inline Lanes LanesMax(Lanes a, Lanes b) {
  POTLUCK_EACH_LANE(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}
static inline Lanes LanesFma(Lanes a, Lanes b, Lanes c) {
  POTLUCK_EACH_LANE(__builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]));
}
static inline Lanes LanesLoadHalf(const void* p) {
  uint16_t halves[16];
  memcpy(halves, p, sizeof(halves));
  POTLUCK_EACH_LANE(FloatFromHalf(halves[i]));
}
static inline void LanesStoreHalf(void* p, Lanes a) {
  uint16_t halves[16];
  for (int i = 0; i < 16; ++i) halves[i] = HalfFromFloat(a.lane[i]);
  memcpy(p, halves, sizeof(halves));
}
static inline Lanes LanesLoadInt8(const int8_t* p) { POTLUCK_EACH_LANE((float)p[i]); }
#undef POTLUCK_EACH_LANE

static inline float SumTree(Lanes a) {
  for (int step = 8; step >= 1; step /= 2) {
    for (int i = 0; i < step; ++i) a.lane[i] = a.lane[i] + a.lane[i + step];
  }
  return a.lane[0];
}
static inline void SumTree4(Lanes a, Lanes b, Lanes c, Lanes d, float* sums) {
  sums[0] = SumTree(a);
  sums[1] = SumTree(b);
  sums[2] = SumTree(c);
  sums[3] = SumTree(d);
}

}  // namespace
}  // namespace potluck::kernels
