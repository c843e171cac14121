// Products with the NEON of any ARMv8.0 (no dot-product instructions): 4 outputs per vector,
// 8-bit products summed in 16 bits, then in 32.
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/product_kernels.h"

namespace potluck::kernels {
namespace {

constexpr int kLanes = 4;
constexpr int kMaxTokens = 4;
constexpr bool kUnsignedCodes = false;

// A step adds at most max_code * 127 to each of 16 bits.
constexpr int MaxSteps(int max_code) {
  const int possible = 32767 / (127 * max_code);
  return possible >= 8 ? 8 : possible >= 4 ? 4 : possible >= 2 ? 2 : 1;
}

using Bytes = uint8x16_t;
using Ints = int32x4_t;
using Floats = float32x4_t;
using Scale = int32x4_t;
struct Partial {
  int16x8_t low, high;  // 4 sums for each of two outputs
};
struct Pair {
  int32x4_t first, second;
};

inline Bytes LoadBytes(const uint8_t* p) { return vld1q_u8(p); }
inline Bytes Or(Bytes a, Bytes b) { return vorrq_u8(a, b); }

// Bits [from, from + count) of every byte, moved to bit `to`.
template <int from, int count, int to>
inline Bytes Bits(Bytes b) {
  if constexpr (from > to) b = vshrq_n_u8(b, from - to);
  if constexpr (from < to) b = vshlq_n_u8(b, to - from);
  return vandq_u8(b, vdupq_n_u8(((1 << count) - 1) << to));
}

inline Bytes Lookup(Bytes b, const int8_t* table) {
  return vreinterpretq_u8_s8(vqtbl1q_s8(vld1q_s8(table), b));
}
inline Bytes WideCodes(Bytes b) { return b; }

inline Partial ZeroPartial() { return {vdupq_n_s16(0), vdupq_n_s16(0)}; }
inline Ints ZeroInts() { return vdupq_n_s32(0); }

// All codes fit in signed bytes, those that count from 0 too.
template <bool is_signed>
inline Partial Step(Partial partial, Bytes codes, const int8_t* x) {
  int32_t four;
  memcpy(&four, x, sizeof(four));
  const int8x16_t xs = vreinterpretq_s8_s32(vdupq_n_s32(four));
  const int8x16_t ws = vreinterpretq_s8_u8(codes);
  return {vmlal_s8(partial.low, vget_low_s8(ws), vget_low_s8(xs)),
          vmlal_high_s8(partial.high, ws, xs)};
}

inline int32x4_t PerOutput(Partial partial) {
  return vpaddq_s32(vpaddlq_s16(partial.low), vpaddlq_s16(partial.high));
}
inline Ints Flush(Ints ints, Partial partial) { return vaddq_s32(ints, PerOutput(partial)); }
inline Ints FlushScaled(Ints ints, Partial partial, Scale scale) {
  return vmlaq_s32(ints, PerOutput(partial), scale);
}

inline int32x4_t WidenFour(uint32_t four) {
  const int8x8_t bytes = vreinterpret_s8_u32(vdup_n_u32(four));
  return vmovl_s16(vget_low_s16(vmovl_s8(bytes)));
}
inline uint32_t LoadFour(const uint8_t* p) {
  uint32_t four;
  memcpy(&four, p, sizeof(four));
  return four;
}

template <bool packed>
inline Scale LoadScale(const uint8_t* p) {
  return WidenFour(packed ? LoadFour(p) & 0x0f0f0f0f : LoadFour(p));
}

template <int mask, int shift>
inline Pair LoadPair(const uint8_t* p) {
  constexpr uint32_t kMask = mask * 0x01010101u;
  return {WidenFour((LoadFour(p) >> shift) & kMask),
          WidenFour((LoadFour(p + kPanelRows) >> shift) & kMask)};
}

inline Ints PairDot(Ints ints, Pair pair, const int16_t* two_sums) {
  return vmlaq_n_s32(vmlaq_n_s32(ints, pair.first, two_sums[0]), pair.second, two_sums[1]);
}

template <int shift>
inline Ints SubtractShifted(Ints a, Ints b) {
  return vsubq_s32(a, vshlq_n_s32(b, shift));
}
inline Ints BroadcastInt(const int32_t* p) { return vld1q_dup_s32(p); }
template <int shift>
inline Ints SubtractSum(Ints ints, const int32_t* sum) {
  return SubtractShifted<shift>(ints, BroadcastInt(sum));
}

inline Floats ToFloats(Ints ints) { return vcvtq_f32_s32(ints); }
inline Floats ZeroFloats() { return vdupq_n_f32(0); }
inline Floats LoadFloats(const uint8_t* p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
inline Floats LoadHalf(const uint8_t* p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
inline Floats LoadBrain(const uint8_t* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}
inline Floats Broadcast(const float* p) { return vld1q_dup_f32(p); }
inline Floats Multiply(Floats a, Floats b) { return vmulq_f32(a, b); }
inline Floats MultiplyAdd(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
inline void StoreFloats(float* p, Floats floats) { vst1q_f32(p, floats); }

#include "kernels/cpu/product_kernels_body.inc"

}  // namespace

const ProductKernels ProductKernels_cpu_neon = POTLUCK_PRODUCT_KERNELS;

}  // namespace potluck::kernels
