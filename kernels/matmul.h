// Products with weights in their stored form: the bulk of a transformer's work.
//
//   y[t,n] = sum_k x[t,k] * W[n,k]  (+ s * sum_r B[n,r] * (sum_k A[r,k] * x[t,k]))  (+ bias[n])
//
// Several products may share one input (q, k, v; gate, up): it is then quantised once and they run
// as one region.
//
// Shapes: x (T, K) f32; W (N, K); y (T, N) f32; bias (N,) f32; A (R, K), B (N, R) f32.
// Alias:  y must not overlap x.
// Order (numerics class cpu-1), for each y[t,n] on its own, so that neither T, threads nor the
//   instruction set can change a bit:
//   - W in f32, f16, bf16, or any W with Precision::kFloat: acc = 0; for k ascending:
//     acc = fma(x[k], w[k], acc), w[k] being the stored value as f32.
//   - quantised W, Precision::kInt8: x is quantised per block of 32 values (types with 32-value
//     blocks) or 256 (the others): amax = max |x|; d = amax / 127; q = nearest-even(x * (127 /
//     amax)). A block with amax < 2^-100 has d = 0 and q = 0; one with a NaN or infinity has d =
//     NaN and q = 0. Then for each weight block in ascending k, with exact integer sums:
//       acc = fma(dw * d, float(isum), acc), and, for types with a minimum or offset,
//       acc = fma(mw * d, float(msum), acc) after it (mw carries the type's sign).
//     isum: sum of (code * x code), times the integer sub-scales where the type has them; msum: the
//     sum of x codes, times the integer sub-minima where it has them. kernels/formats/ says per
//     type what code, dw, mw are.
//   - then, for a token with an adapter, acc = acc + scale * v, where u[r] (sums of x[k] * A[r,k])
//     and v (sum of u[r] * B[n,r]) run as in the float case; then, with a bias, acc = acc + bias.
//     Where one of these is absent, so is its addition.
// Error:  InvalidArgument for a wrong shape, place, slot or expert; FailedPrecondition for a call
//         that needs more scratch than Reserve() was told of.
// Cost:   reads each weight block once per call, whatever T is.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace potluck::kernels {

class Weight;

// How activations enter a product with quantised weights.
enum class Precision : uint8_t {
  kInt8,   // quantised per block: serving
  kFloat,  // as they are: training and tests
};

// One LoRA pair of one product (arXiv 2106.09685), dense f32.
struct LowRank {
  TensorView a;  // (R, K)
  TensorView b;  // (N, R)
  float scale = 1;
};

// The adapters of a product, by slot. Slot 0 is "none" and costs nothing, bit for bit.
struct AdapterRows {
  std::span<const LowRank> adapters;     // adapters[slot - 1]
  std::span<const uint16_t> token_slot;  // T slots; empty = all 0
};

struct Product {
  const Weight* weight = nullptr;  // (N, K)
  TensorView bias;                 // (N,); rank 0 = none
  AdapterRows adapters;
  TensorView y;  // (T, N); rows may be further apart than N
};

struct MatMulArgs {
  TensorView x;  // (T, K)
  std::span<const Product> products;
  Precision precision = Precision::kInt8;
};

// The products of one stack of experts: row (t, j) of y is W[expert[t,j]] times its row of x.
struct ExpertMatMulArgs {
  TensorView x;  // (T, K): every choice of token t reads row t; or (T * Eu, K): each has its own
  TensorView experts;                 // (T, Eu) i32, each in [0, E)
  std::span<const Product> products;  // weight (E, N, K), bias and adapters unused; y (T * Eu, N)
  Precision precision = Precision::kInt8;
};

absl::Status Validate(const MatMulArgs& args);
absl::Status Validate(const ExpertMatMulArgs& args);

}  // namespace potluck::kernels
