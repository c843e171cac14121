// The elementary functions of numerics class cpu-1. The C library's differ from version to version
// and from CPU to CPU; these are made of IEEE operations alone, in an order that the source fixes,
// so that every CPU gives the same bits. Floats, for kernels; sampling and the makers of RoPE
// tables, where speed counts less, take the doubles of exact_math.h.
//
// Bounds, in units in the last place of the result, over all finite inputs; the tests hold them:
//   Exp 1, Sin and Cos 0.51, Tanh 2, Erf 2.
// Infinities, NaN, zeros with their signs and denormals go in and come out as C's own functions
// have it. Which NaN comes out is not part of the class: payload and sign may differ.
// Assumes that the CPU rounds to nearest even and keeps denormals.
// Source: ours; the method stands at each function.
#pragma once

namespace potluck::kernels {

float Exp(float x);
float Sin(float x);
float Cos(float x);
float Tanh(float x);
float Erf(float x);

}  // namespace potluck::kernels
