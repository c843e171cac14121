// Rotary position embedding, in place.
//
//   angle[t,i] = position[t] * inv_freq[i],  i < dims/2
//   (a, b) -> (a*cos - b*sin, b*cos + a*sin) * magnitude
//
// (a, b) is (x[2i], x[2i+1]) for adjacent pairs, (x[i], x[i + dims/2]) for half-split ones.
// Elements from `dims` on stay as they are.
//
// Source: Su et al. 2021, arXiv:2104.09864. Scaling (linear, llama3, longrope, yarn) is folded into
//         inv_freq and magnitude by whoever makes them (model/decoder).
// Shapes: x (T, H, Dh) f32, in place; inv_freq (dims/2,) f32; positions T numbers >= 0.
// Order:  angle = float(position) * inv_freq; c = cos(angle) * magnitude,
//         s = sin(angle) * magnitude; first' = fma(a, c, -(b * s)), second' = fma(b, c, a * s).
//         sin and cos are cpu-1's own.
// Error:  InvalidArgument for a wrong shape, `dims` beyond Dh, or a negative position.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace potluck::kernels {

struct RopeArgs {
  TensorView x;
  std::span<const int32_t> positions;
  TensorView inv_freq;
  float magnitude = 1;
  bool adjacent_pairs = false;
};

absl::Status Validate(const RopeArgs& args);

}  // namespace potluck::kernels
