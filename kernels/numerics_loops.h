// cpu-1's elementary functions as straight-line code for loops: no branch, no call but the fused
// multiply-add, so that a compiler turns a loop over them into vectors. numerics.cc calls the very
// same functions, hence one set of bits. Everything here is static: files that are compiled for one
// instruction set include it (the linker must never mix their copies).
#pragma once

#include <stdint.h>

#include "kernels/formats/floats.h"

namespace potluck::kernels {

static inline float FloatAbs(float x) { return FloatFromBits(BitsOfFloat(x) & 0x7fffffffu); }
static inline float FloatWithSign(float magnitude, float sign) {
  return FloatFromBits((BitsOfFloat(magnitude) & 0x7fffffffu) | (BitsOfFloat(sign) & 0x80000000u));
}

// x = n ln 2 + r, |r| <= ln 2 / 2: both steps of r are fused and the first is exact.
// exp(r) = 1 + (r + r^2 q(r)), q of degree 5 (Chebyshev fit, 1.5e-9). 2^n is multiplied in two
// halves, so that results below the normal range are rounded once and those above become infinite.
static inline float LoopExp(float x) {
  const float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float shifted = __builtin_fmaf(x, 0x1.715476p+0f, kRound);
  const float n = shifted - kRound;
  float r = __builtin_fmaf(n, -0x1.62e430p-1f, x);
  r = __builtin_fmaf(n, 0x1.05c610p-29f, r);
  float q = 0x1.a12a42p-13f;
  q = __builtin_fmaf(q, r, 0x1.6d4920p-10f);
  q = __builtin_fmaf(q, r, 0x1.1110e0p-7f);
  q = __builtin_fmaf(q, r, 0x1.5554e4p-5f);
  q = __builtin_fmaf(q, r, 0x1.555556p-3f);
  q = __builtin_fmaf(q, r, 0x1.000000p-1f);
  const float p = __builtin_fmaf(r * r, q, r) + 1.0f;
  const int32_t exponent = (int32_t)(BitsOfFloat(shifted) - BitsOfFloat(kRound));
  const int32_t half = exponent >> 1;
  const float scale_a = FloatFromBits((uint32_t)(half + 127) << 23);
  const float scale_b = FloatFromBits((uint32_t)(exponent - half + 127) << 23);
  return (p * scale_a) * scale_b;
}

// |x| < 0.625: x + x^3 p(x^2), p of degree 5 (1.7e-9). Beyond: 1 - 2 / (exp(2|x|) + 1).
static inline float LoopTanh(float x) {
  const float a = FloatAbs(x);
  const float z = a * a;
  float p = 0x1.2a78a4p-9f;
  p = __builtin_fmaf(p, z, -0x1.10f5c0p-7f);
  p = __builtin_fmaf(p, z, 0x1.64978ep-6f);
  p = __builtin_fmaf(p, z, -0x1.ba07a8p-5f);
  p = __builtin_fmaf(p, z, 0x1.1110e6p-3f);
  p = __builtin_fmaf(p, z, -0x1.555556p-2f);
  const float near_zero = __builtin_fmaf(a * z, p, a);
  const float far = 1.0f - 2.0f / (LoopExp(a + a) + 1.0f);
  return FloatWithSign(a < 0.625f ? near_zero : far, x);
}

// |x| < 0.921875: x + x p(x^2), p of degree 6 (4.4e-10). Beyond: 1 - exp(-g(|x|)) with
// g = -ln(erfc) of degree 8 (1.6e-8, of which erfc < 0.2 remains); 1 from 3.95 on.
static inline float LoopErf(float x) {
  const float a = FloatAbs(x);
  const float z = a * a;
  float p = 0x1.5ef2dap-14f;
  p = __builtin_fmaf(p, z, -0x1.aae5cap-11f);
  p = __builtin_fmaf(p, z, 0x1.54db20p-8f);
  p = __builtin_fmaf(p, z, -0x1.b81098p-6f);
  p = __builtin_fmaf(p, z, 0x1.ce2e22p-4f);
  p = __builtin_fmaf(p, z, -0x1.812744p-2f);
  p = __builtin_fmaf(p, z, 0x1.06eba8p-3f);
  const float near_zero = __builtin_fmaf(a, p, a);
  const float b = a > 3.95f ? 3.95f : a;
  float g = -0x1.bdc350p-20f;
  g = __builtin_fmaf(g, b, 0x1.8603bcp-15f);
  g = __builtin_fmaf(g, b, -0x1.3ab0d6p-11f);
  g = __builtin_fmaf(g, b, 0x1.38e4c4p-8f);
  g = __builtin_fmaf(g, b, -0x1.b182d4p-6f);
  g = __builtin_fmaf(g, b, 0x1.c322c0p-4f);
  g = __builtin_fmaf(g, b, 0x1.43774cp-1f);
  g = __builtin_fmaf(g, b, 0x1.2158d6p+0f);
  g = __builtin_fmaf(g, b, -0x1.55bc8ep-12f);
  const float far = 1.0f - LoopExp(-g);
  return FloatWithSign(a < 0.921875f ? near_zero : far, x);
}

// LoopSinCos is right up to here; numerics.cc reduces what lies beyond.
#define POTLUCK_LOOP_SINCOS_LIMIT 4194304.0f

// The sine and cosine of r + quadrant * pi/2, |r| <= pi/4 (polynomials in r^2, 4e-13), in double.
static inline void SinCosOfQuadrant(double r, uint64_t quadrant, float* sine, float* cosine) {
  const double z = r * r;
  double s = -0x1.aa28204b8cc64p-26;
  s = s * z + 0x1.71d9a97cd3c34p-19;
  s = s * z + -0x1.a019fd9a9838bp-13;
  s = s * z + 0x1.1111110fd3935p-7;
  s = s * z + -0x1.555555555516ap-3;
  s = (r * z) * s + r;
  double c = -0x1.2474b4d8b6dbep-22;
  c = c * z + 0x1.a0129816d86c7p-16;
  c = c * z + -0x1.6c16bae4ef840p-10;
  c = c * z + 0x1.555555514ea4bp-5;
  c = c * z + -0x1.fffffffffe691p-2;
  c = c * z + 1.0;
  const double sine_size = (quadrant & 1) ? c : s;
  const double cosine_size = (quadrant & 1) ? s : c;
  *sine = (float)((quadrant & 2) ? -sine_size : sine_size);
  *cosine = (float)(((quadrant + 1) & 2) ? -cosine_size : cosine_size);
}

// |x| <= POTLUCK_LOOP_SINCOS_LIMIT: x = k pi/2 + r with pi/2 in three parts (30, 30 and 53 bits),
// of which the first two products are exact (Cody and Waite).
static inline void LoopSinCos(float x, float* sine, float* cosine) {
  const double kRound = 6755399441055744.0;  // 1.5 * 2^52
  const double shifted = (double)x * 0x1.45f306dc9c883p-1 + kRound;
  const double k = shifted - kRound;
  double r = (double)x - k * 0x1.921fb54000000p+0;
  r = r - k * 0x1.10b4611800000p-30;
  r = r - k * 0x1.313198a2e0370p-61;
  SinCosOfQuadrant(r, __builtin_bit_cast(uint64_t, shifted), sine, cosine);
  *sine = x == 0.0f ? x : *sine;
}

}  // namespace potluck::kernels
