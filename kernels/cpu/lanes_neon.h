// The lanes of cpu-1 in four NEON registers. See lanes.h.
#pragma once

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

namespace potluck::kernels {
namespace {

struct Lanes {
  float32x4_t part[4];
};
enum { kQueriesAtOnce = 1 };

#define POTLUCK_EACH_PART(expression)                   \
  Lanes r;                                              \
  for (int i = 0; i < 4; ++i) r.part[i] = (expression); \
  return r
static inline Lanes LanesSet(float x) { POTLUCK_EACH_PART(vdupq_n_f32(x)); }
static inline Lanes LanesZero() { return LanesSet(0.0f); }
static inline Lanes LanesLoad(const float* p) { POTLUCK_EACH_PART(vld1q_f32(p + 4 * i)); }
static inline void LanesStore(float* p, Lanes a) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.part[i]);
}
static inline Lanes LanesAdd(Lanes a, Lanes b) {
  POTLUCK_EACH_PART(vaddq_f32(a.part[i], b.part[i]));
}
static inline Lanes LanesMul(Lanes a, Lanes b) {
  POTLUCK_EACH_PART(vmulq_f32(a.part[i], b.part[i]));
}
static inline Lanes LanesMax(Lanes a, Lanes b) {
  POTLUCK_EACH_PART(vbslq_f32(vcgtq_f32(a.part[i], b.part[i]), a.part[i], b.part[i]));
}
static inline Lanes LanesFma(Lanes a, Lanes b, Lanes c) {
  POTLUCK_EACH_PART(vfmaq_f32(c.part[i], a.part[i], b.part[i]));
}
static inline Lanes LanesLoadHalf(const void* p) {
  const uint16_t* halves = (const uint16_t*)p;
  POTLUCK_EACH_PART(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves + 4 * i))));
}
static inline void LanesStoreHalf(void* p, Lanes a) {
  uint16_t* halves = (uint16_t*)p;
  for (int i = 0; i < 4; ++i) {
    vst1_u16(halves + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.part[i])));
  }
}
static inline Lanes LanesLoadInt8(const int8_t* p) {
  const int8x16_t bytes = vld1q_s8(p);
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
  Lanes r;
  r.part[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
  r.part[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(low)));
  r.part[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
  r.part[3] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)));
  return r;
}
#undef POTLUCK_EACH_PART

// Lanes i, i + 8 and then i + 4 and i + 2.
static inline float32x2_t FoldTo2(Lanes a) {
  const float32x4_t b = vaddq_f32(vaddq_f32(a.part[0], a.part[2]), vaddq_f32(a.part[1], a.part[3]));
  return vadd_f32(vget_low_f32(b), vget_high_f32(b));
}
static inline float SumTree(Lanes a) {
  const float32x2_t b = FoldTo2(a);
  return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}
static inline void SumTree4(Lanes a, Lanes b, Lanes c, Lanes d, float* sums) {
  vst1_f32(sums, vpadd_f32(FoldTo2(a), FoldTo2(b)));
  vst1_f32(sums + 2, vpadd_f32(FoldTo2(c), FoldTo2(d)));
}

}  // namespace
}  // namespace potluck::kernels
