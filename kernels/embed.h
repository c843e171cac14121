// Embedding lookup.
//
//   y[t,:] = float(W[id[t],:]) * scale
//
// Shapes: ids T numbers in [0, V); W (V, D) in any stored type; y (T, D) f32.
// Order:  the stored value as f32, then one multiplication by scale (none where scale is 1).
// Error:  InvalidArgument for an id outside the vocabulary, or a wrong shape.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace potluck::kernels {

class Weight;

struct EmbedArgs {
  std::span<const int32_t> ids;
  const Weight* weight = nullptr;
  float scale = 1;
  TensorView y;
};

absl::Status Validate(const EmbedArgs& args);

}  // namespace potluck::kernels
