// RMSNorm, the pre-norm of every Llama-family block.
//
//   y[t,d] = x[t,d] * (1 / sqrt(mean_d(x[t,:]^2) + eps)) * gain[d]
//
// Source: Zhang & Sennrich 2019, arXiv:1910.07467.
// Shapes: x, y (T, D), unit stride in D, rows may be further apart; gain (D,). f32. Per-head norms
//         pass (T * H, Dh).
// Alias:  y may equal x; gain must not overlap y.
// Order:  the sum of squares in 16 lanes: lane d mod 16 does lane = fma(x, x, lane) for ascending
//         d; then lanes i and i+8, i+4, i+2, i+1 are added. Then mean = sum / D,
//         r = 1 / sqrt(mean + eps), y = (x * r) * gain, each operation rounded to f32.
// Error:  InvalidArgument if D == 0, eps <= 0, or a shape is wrong.
// Cost:   reads 2*T*D*4 bytes, writes T*D*4; bandwidth-bound everywhere.
#pragma once

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace potluck::kernels {

struct RmsNormArgs {
  TensorView x;
  TensorView gain;
  float eps = 1e-5f;
  TensorView y;
};

absl::Status Validate(const RmsNormArgs& args);

}  // namespace potluck::kernels
