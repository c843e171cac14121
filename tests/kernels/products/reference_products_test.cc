// The reference itself against a computation of its own in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/formats/decode.h"
#include "kernels/reference/reference_backend.h"
#include "tests/kernels/products/random_weight.h"
#include "tests/testing/cpu_targets.h"
#include "tests/testing/guarded_tensor.h"

namespace potluck::kernels {
namespace {

struct Exact {
  double sum = 0;        // of x w
  double magnitude = 0;  // of |x w|
  double rounding = 0;   // the most that quantising x can add: half a step times |w|
};

Exact ExactDot(const float* x, const float* w, int64_t count, int block) {
  Exact exact;
  for (int64_t begin = 0; begin < count; begin += block) {
    double amax = 0;
    for (int64_t k = begin; k < begin + block; ++k) {
      amax = std::max(amax, std::fabs(static_cast<double>(x[k])));
    }
    for (int64_t k = begin; k < begin + block; ++k) {
      const double product = static_cast<double>(x[k]) * w[k];
      exact.sum += product;
      exact.magnitude += std::fabs(product);
      exact.rounding += amax / 254 * std::fabs(static_cast<double>(w[k]));
    }
  }
  return exact;
}

// Each of the 2 * blocks additions rounds a sum that stays below (magnitude + rounding) of its
// parts; the parts of types with minima cancel, so they are bounded by |dw code| + |mw| instead: at
// most 4 times as large for the weights of these tests.
TEST(ReferenceProducts, StayWithinTheErrorThatTheirOrderAllows) {
  std::mt19937 random(TestSeed());
  ReferenceBackend reference;
  for (const DTypeTraits& type : WeightDTypes()) {
    const int64_t cols = type.block_values == 1 ? 200 : 2 * type.block_values;
    const RandomWeight weight(type.dtype, 9, cols, random);
    const auto loaded = *reference.LoadWeight(weight.data);
    GuardedTensor x({4, cols}), bias({9});
    x.FillRandom(random);
    bias.FillRandom(random);
    for (const Precision precision : {Precision::kInt8, Precision::kFloat}) {
      GuardedTensor y({4, 9});
      const Product product = {.weight = loaded.get(), .bias = bias, .y = y};
      ASSERT_TRUE(reference.MatMul({x, {&product, 1}, precision}).ok());
      const bool quantized = type.block_values > 1 && precision == Precision::kInt8;
      for (int64_t t = 0; t < 4; ++t) {
        for (int64_t n = 0; n < 9; ++n) {
          std::vector<float> w(cols);
          DecodeRow(type.dtype, weight.parts[0].data() + n * BytesOf(type.dtype, cols), cols,
                    w.data());
          const Exact exact =
              ExactDot(&x.at(t * cols), w.data(), cols, quantized ? type.block_values : 1);
          const double bound =
              (quantized ? 1.01 * exact.rounding : 0) + (exact.magnitude * 4 + 1) * cols * 0x1p-24;
          EXPECT_NEAR(y.at(t * 9 + n), exact.sum + bias.at(n), bound) << type.name;
        }
      }
    }
  }
}

TEST(ReferenceProducts, AdaptersAddWhatTheFormulaSays) {
  std::mt19937 random(TestSeed());
  ReferenceBackend reference;
  const RandomWeight weight(DType::kF32, 5, 40, random);
  const auto loaded = *reference.LoadWeight(weight.data);
  GuardedTensor x({2, 40}), a({3, 40}), b({5, 3}), plain({2, 5}), adapted({2, 5});
  for (GuardedTensor* tensor : {&x, &a, &b}) tensor->FillRandom(random);
  const LowRank adapter = {a, b, 0.25f};
  const uint16_t slots[] = {1, 0};
  Product product = {.weight = loaded.get(), .y = plain};
  ASSERT_TRUE(reference.MatMul({x, {&product, 1}, Precision::kFloat}).ok());
  product = {.weight = loaded.get(), .adapters = {{&adapter, 1}, slots}, .y = adapted};
  ASSERT_TRUE(reference.MatMul({x, {&product, 1}, Precision::kFloat}).ok());
  for (int64_t n = 0; n < 5; ++n) {
    double addend = 0;
    for (int64_t r = 0; r < 3; ++r) {
      double down = 0;
      for (int64_t k = 0; k < 40; ++k) down += static_cast<double>(a.at(r * 40 + k)) * x.at(k);
      addend += down * b.at(n * 3 + r);
    }
    EXPECT_NEAR(adapted.at(n) - plain.at(n), 0.25 * addend, 1e-4);
    EXPECT_EQ(adapted.at(5 + n), plain.at(5 + n));
  }
}

}  // namespace
}  // namespace potluck::kernels
