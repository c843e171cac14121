// Half-precision and bfloat16 numbers as bits, converted exactly: denormals, infinities and NaN
// included, without the CPU's help. Plain static functions, so that files compiled for one
// instruction set can include this header (see kernels/cpu/product_kernels.h).
#pragma once

#include <stdint.h>
#include <string.h>

namespace potluck::kernels {

static inline float FloatFromBits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

static inline uint32_t BitsOfFloat(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

static inline float FloatFromHalf(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  // Shifted into place the exponent is 112 too low; the multiplication mends that, and denormals.
  uint32_t bits = BitsOfFloat(FloatFromBits(magnitude << 13) * 0x1p112f);
  if (magnitude >= 0x7c00u) bits = 0x7f800000u | (magnitude << 13);
  return FloatFromBits(sign | bits);
}

// Rounded to nearest even; what is too large becomes infinite.
static inline uint16_t HalfFromFloat(float value) {
  const uint32_t bits = BitsOfFloat(value);
  const uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));  // NaN, made quiet
  }
  if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);  // 65520 and above
  if (magnitude < 0x38800000u) {
    // Below 2^-14 a half counts in units of 2^-24, as a float counts just above 0.5: the addition
    // rounds.
    const float shifted = FloatFromBits(magnitude) + 0.5f;
    return (uint16_t)(sign | (BitsOfFloat(shifted) - 0x3f000000u));
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

static inline float FloatFromBrain(uint16_t brain) { return FloatFromBits((uint32_t)brain << 16); }

}  // namespace potluck::kernels
