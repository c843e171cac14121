// Operations that touch each element once, and the two gathers and routings around them.
//
//   GatedActivation  y = act(gate) * up            act: silu, gelu (tanh form), gelu (erf form)
//   Add              y = a + b
//   Scale            x = x * factor, in place
//   SoftCap          x = cap * tanh(x / cap), in place
//   GatherRows       y[i,:] = x[rows[i],:]
//   ExpertRoute      the Eu experts of largest p = softmax(logits[t,:]), in descending order, ties
//                    to the lower number; weights are their p, divided by its sum if `normalize`
//   ExpertCombine    y[t,:] = sum_j weights[t,j] * x[t * Eu + j,:]
//
// Shapes: as the fields say. f32 but for expert numbers. Rows may be further apart than their
//         length.
// Alias:  y may equal an input of the same shape (not in GatherRows and ExpertCombine).
// Order (cpu-1):
//   silu(x) = x / (1 + exp(-x)); gelu_erf(x) = (0.5 x)(1 + erf(x * sqrt(1/2)));
//   gelu_tanh(x) = (0.5 x)(1 + tanh(c fma((a x) x, x, x))), c = sqrt(2/pi) and a = 0.044715 as f32.
//   exp, tanh and erf are cpu-1's own.
//   Softmax: max, exp(x - max), sum in 16 lanes, one division each; the sum of chosen weights in
//   order of choice. Neither the maximum nor the choice prefers a NaN to a number before it.
//   ExpertCombine: acc = 0; acc = fma(weight, x, acc) for ascending j.
// Error:  InvalidArgument for a wrong shape or a row number outside.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace potluck::kernels {

// The most experts that ExpertRoute takes.
inline constexpr int64_t kMaxExperts = 1024;

enum class GateFunction : uint8_t { kSilu, kGeluTanh, kGeluErf };

struct GatedActivationArgs {
  TensorView gate, up;  // (T, F)
  GateFunction function = GateFunction::kSilu;
  TensorView y;  // (T, F)
};

struct AddArgs {
  TensorView a, b, y;  // (T, D)
};

struct ScaleArgs {
  TensorView x;  // (T, D)
  float factor = 1;
};

struct SoftCapArgs {
  TensorView x;   // (T, D)
  float cap = 1;  // > 0
};

struct GatherRowsArgs {
  TensorView x;                   // (T, D)
  std::span<const int32_t> rows;  // O numbers in [0, T)
  TensorView y;                   // (O, D)
};

struct ExpertRouteArgs {
  TensorView logits;  // (T, E)
  bool normalize = true;
  TensorView experts;  // (T, Eu) i32
  TensorView weights;  // (T, Eu)
};

struct ExpertCombineArgs {
  TensorView x;        // (T * Eu, D)
  TensorView weights;  // (T, Eu)
  TensorView y;        // (T, D)
};

absl::Status Validate(const GatedActivationArgs& args);
absl::Status Validate(const AddArgs& args);
absl::Status Validate(const ScaleArgs& args);
absl::Status Validate(const SoftCapArgs& args);
absl::Status Validate(const GatherRowsArgs& args);
absl::Status Validate(const ExpertRouteArgs& args);
absl::Status Validate(const ExpertCombineArgs& args);

}  // namespace potluck::kernels
