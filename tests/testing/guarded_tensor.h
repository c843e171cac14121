// Tensors for tests: filled, between guard bands that must stay as they are.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace potluck::kernels {

// A dense or row-strided tensor in its own buffer of host memory, all elements NaN (i32: a huge
// number) at first. Bands before and after it, and the gaps between rows, hold a pattern.
class GuardedTensor {
 public:
  // `row_gap` elements lie between the rows (the last dimension) of the tensor.
  explicit GuardedTensor(std::initializer_list<int64_t> shape, DType dtype = DType::kF32,
                         int64_t row_gap = 0);

  const TensorView& view() const { return view_; }
  operator const TensorView&() const { return view_; }  // NOLINT: passes for a view in arguments

  int64_t num_elements() const { return view_.num_elements(); }
  // Element i in row-major order, whatever the strides.
  float& at(int64_t i) { return view_.host<float>()[OffsetOf(i)]; }
  float at(int64_t i) const { return view_.host<float>()[OffsetOf(i)]; }
  int32_t& i32(int64_t i) { return view_.host<int32_t>()[OffsetOf(i)]; }

  GuardedTensor& Fill(std::span<const float> values);
  GuardedTensor& Fill(const std::function<float()>& next);
  // Normal numbers of mixed signs, standard deviation `scale`.
  GuardedTensor& FillRandom(std::mt19937& random, float scale = 1);

  // Fails where a byte outside of the elements has changed.
  ::testing::AssertionResult GuardsIntact() const;

 private:
  int64_t OffsetOf(int64_t i) const;

  std::unique_ptr<Buffer> buffer_;
  TensorView view_;
};

// Equal bit for bit (any NaN equals any other), guards of both intact; names the first difference.
::testing::AssertionResult SameBits(const GuardedTensor& actual, const GuardedTensor& expected);

// `count` floats that kernels tend to get wrong: zeros of both signs, denormals, huge, tiny, and,
// where `finite` is false, NaN and infinities.
std::vector<float> AwkwardFloats(std::mt19937& random, int64_t count, bool finite);

}  // namespace potluck::kernels
