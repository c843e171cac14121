// Every instruction set against the reference, bit for bit.
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "kernels/formats/floats.h"
#include "kernels/formats/integer_block.h"
#include "kernels/reference/reference_backend.h"
#include "tests/kernels/products/random_weight.h"
#include "tests/testing/cpu_targets.h"
#include "tests/testing/guarded_tensor.h"

namespace potluck::kernels {
namespace {

class ProductsTest : public CpuTargetTest {
 protected:
  void SetUp() override {
    CpuTargetTest::SetUp();
    random_.seed(TestSeed());
  }

  std::unique_ptr<Backend> Ready(int num_threads, StepLimits limits = {.max_tokens = 64,
                                                                       .max_input_dim = 1024,
                                                                       .max_experts_used = 4,
                                                                       .max_lora_rank = 16}) {
    auto backend = MakeBackend(num_threads);
    EXPECT_TRUE(backend->Reserve(limits).ok());
    return backend;
  }

  // The same product on both; the actual one with gaps between rows of x and y.
  void ExpectEqual(Backend& backend, const RandomWeight& weight, const GuardedTensor& x,
                   Precision precision) {
    const auto actual_weight = backend.LoadWeight(weight.data);
    const auto expected_weight = reference_.LoadWeight(weight.data);
    ASSERT_TRUE(actual_weight.ok()) << actual_weight.status();
    ASSERT_TRUE(expected_weight.ok()) << expected_weight.status();
    const int64_t tokens = x.view().shape[0], rows = weight.data.rows;
    GuardedTensor actual({tokens, rows}, DType::kF32, 5), expected({tokens, rows});
    Product product = {.weight = actual_weight->get(), .y = actual};
    EXPECT_TRUE(backend.MatMul({x, {&product, 1}, precision}).ok());
    product = {.weight = expected_weight->get(), .y = expected};
    EXPECT_TRUE(reference_.MatMul({x, {&product, 1}, precision}).ok());
    EXPECT_TRUE(SameBits(actual, expected))
        << Traits(weight.data.dtype).name << " (" << rows << ", " << weight.data.cols << ") on "
        << GetParam() << " with " << tokens << " tokens";
    EXPECT_TRUE(x.GuardsIntact());
  }

  int64_t SmallCols(DType dtype, int64_t blocks) {
    const int values = Traits(dtype).block_values;
    return values == 1 ? 13 * blocks : values * blocks;
  }

  std::mt19937 random_;
  ReferenceBackend reference_;
};

TEST_P(ProductsTest, EveryTypeAndNumberOfTokens) {
  auto backend = Ready(2);
  for (const DTypeTraits& type : WeightDTypes()) {
    const int64_t cols = SmallCols(type.dtype, 3);
    const RandomWeight weight(type.dtype, 37, cols, random_);
    for (const int64_t tokens : {1, 2, 3, 7, 16, 33}) {
      GuardedTensor x({tokens, cols}, DType::kF32, 3);
      x.FillRandom(random_);
      ExpectEqual(*backend, weight, x, Precision::kInt8);
      if (tokens == 3 || tokens == 16) ExpectEqual(*backend, weight, x, Precision::kFloat);
    }
  }
}

TEST_P(ProductsTest, EveryNumberOfRowsAndThreads) {
  for (const int threads : {1, 2, 3, 4}) {
    auto backend = Ready(threads);
    for (const DType dtype : {DType::kF16, DType::kQ4_0, DType::kQ6_K}) {
      const int64_t cols = SmallCols(dtype, 1);
      for (const int64_t rows : {1, 15, 16, 17, 33, 161}) {
        const RandomWeight weight(dtype, rows, cols, random_);
        GuardedTensor x({5, cols});
        x.FillRandom(random_);
        ExpectEqual(*backend, weight, x, Precision::kInt8);
      }
    }
  }
}

TEST_P(ProductsTest, SingleColumnAndNoTokens) {
  auto backend = Ready(2);
  const RandomWeight weight(DType::kF32, 3, 1, random_);
  GuardedTensor x({2, 1});
  x.FillRandom(random_);
  ExpectEqual(*backend, weight, x, Precision::kInt8);
  GuardedTensor none({0, 1});
  ExpectEqual(*backend, weight, none, Precision::kInt8);
}

// Codes, sub-scales and activations at their limits: no narrow sum may saturate or wrap.
TEST_P(ProductsTest, ExtremeCodesDoNotSaturate) {
  auto backend = Ready(1);
  for (const DTypeTraits& type : WeightDTypes()) {
    if (type.block_values == 1) continue;
    const int64_t cols = type.block_values;
    for (const int fill : {0x00, 0x7f, 0x80, 0xff, 0x88, 0x08}) {
      RandomWeight weight(type.dtype, 16, cols, random_);
      for (int64_t at = 0; at < static_cast<int64_t>(weight.parts[0].size());
           at += type.block_bytes) {
        std::vector<uint16_t> scales;
        for (int i = 0; i < type.block_bytes; ++i) {
          weight.parts[0][at + i] = static_cast<std::byte>(fill);
        }
        for (const int offset : HalfScaleOffsets(type.dtype)) {
          const uint16_t one = HalfFromFloat(1);
          std::memcpy(&weight.parts[0][at + offset], &one, 2);
        }
        if (type.dtype == DType::kMXFP4) weight.parts[0][at] = std::byte{127};
      }
      GuardedTensor x({4, cols});
      int64_t i = 0;
      x.Fill([&] {
        const int64_t t = i / cols, k = i++ % cols;
        if (t == 0) return 127.0f;
        if (t == 1) return -127.0f;
        return (k + t) % 2 == 0 ? 127.0f : -127.0f;
      });
      ExpectEqual(*backend, weight, x, Precision::kInt8);
    }
  }
}

TEST_P(ProductsTest, AwkwardActivations) {
  auto backend = Ready(2);
  for (const DTypeTraits& type : WeightDTypes()) {
    const int64_t cols = SmallCols(type.dtype, 4);
    const RandomWeight weight(type.dtype, 19, cols, random_);
    for (const bool finite : {true, false}) {
      GuardedTensor x({6, cols});
      x.Fill(AwkwardFloats(random_, 6 * cols, finite));
      for (int64_t k = 0; k < cols; ++k) x.at(k) = 0;                 // a row of zeros,
      for (int64_t k = 0; k < cols; ++k) x.at(cols + k) = 1e-40f;     // of denormals,
      for (int64_t k = 0; k < cols; ++k) x.at(2 * cols + k) = 1e38f;  // of huge numbers
      ExpectEqual(*backend, weight, x, Precision::kInt8);
      ExpectEqual(*backend, weight, x, Precision::kFloat);
    }
  }
}

// Halves between two codes go to the even one.
TEST_P(ProductsTest, ActivationsRoundToNearestEven) {
  auto backend = Ready(1);
  for (const DType dtype : {DType::kQ8_0, DType::kQ6_K}) {
    const int64_t cols = Traits(dtype).block_values;
    const RandomWeight weight(dtype, 16, cols, random_);
    GuardedTensor x({1, cols});
    float next = -63.5f;
    x.Fill([&] { return (next += 1) > 63 ? next = -63.5f : next; });
    x.at(0) = 127;
    ExpectEqual(*backend, weight, x, Precision::kInt8);
  }
}

TEST_P(ProductsTest, ProductsOfMixedTypesShareAnInput) {
  auto backend = Ready(3);
  const DType types[] = {DType::kQ4_K, DType::kQ5_0, DType::kF16, DType::kQ6_K, DType::kIQ4_XS};
  GuardedTensor x({9, 256});
  x.FillRandom(random_);
  std::vector<std::unique_ptr<Weight>> weights;
  std::vector<GuardedTensor> actual, expected;
  std::vector<Product> actual_products, expected_products;
  for (const DType dtype : types) {
    const RandomWeight weight(dtype, 40, 256, random_);
    actual.emplace_back(GuardedTensor({9, 40}, DType::kF32, 1));
    expected.emplace_back(GuardedTensor({9, 40}));
    weights.push_back(*backend->LoadWeight(weight.data));
    actual_products.push_back({.weight = weights.back().get(), .y = actual.back()});
    weights.push_back(*reference_.LoadWeight(weight.data));
    expected_products.push_back({.weight = weights.back().get(), .y = expected.back()});
  }
  ASSERT_TRUE(backend->MatMul({x, actual_products, Precision::kInt8}).ok());
  ASSERT_TRUE(reference_.MatMul({x, expected_products, Precision::kInt8}).ok());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_TRUE(SameBits(actual[i], expected[i])) << Traits(types[i]).name;
  }
}

TEST_P(ProductsTest, AdaptersAndBias) {
  auto backend = Ready(2);
  constexpr int64_t kTokens = 6, kIn = 64, kOut = 37;
  const RandomWeight weight(DType::kQ4_0, kOut, kIn, random_);
  const auto actual_weight = *backend->LoadWeight(weight.data);
  const auto expected_weight = *reference_.LoadWeight(weight.data);
  GuardedTensor x({kTokens, kIn}), bias({kOut});
  GuardedTensor a1({3, kIn}), b1({kOut, 3}), a2({9, kIn}), b2({kOut, 9});
  for (GuardedTensor* tensor : {&x, &bias, &a1, &b1, &a2, &b2}) tensor->FillRandom(random_);
  const LowRank adapters[] = {{a1, b1, 0.7f}, {a2, b2, -2.5f}};
  const uint16_t mixed[] = {0, 1, 2, 0, 2, 1}, none[kTokens] = {};

  const auto run = [&](Backend& on, const Weight& w, std::span<const uint16_t> slots,
                       bool with_bias) {
    GuardedTensor y({kTokens, kOut});
    const Product product = {.weight = &w,
                             .bias = with_bias ? bias.view() : TensorView(),
                             .adapters = {adapters, slots},
                             .y = y};
    EXPECT_TRUE(on.MatMul({x, {&product, 1}, Precision::kInt8}).ok());
    return y;
  };
  for (const bool with_bias : {false, true}) {
    const auto actual = run(*backend, *actual_weight, mixed, with_bias);
    const auto expected = run(reference_, *expected_weight, mixed, with_bias);
    EXPECT_TRUE(SameBits(actual, expected)) << "bias " << with_bias;
    // Slot 0 is no adapter, to the bit.
    EXPECT_TRUE(SameBits(run(*backend, *actual_weight, none, with_bias),
                         run(*backend, *actual_weight, {}, with_bias)));
    EXPECT_FALSE(SameBits(actual, run(*backend, *actual_weight, none, with_bias)));
  }
}

TEST_P(ProductsTest, ExpertsMatchTheReferenceAndTheirOwnMatrices) {
  constexpr int64_t kExperts = 7, kUsed = 2, kOut = 21;
  for (const int threads : {1, 4}) {
    auto backend = Ready(threads);
    for (const DTypeTraits& type : WeightDTypes()) {
      const int64_t in_dim = SmallCols(type.dtype, 1);
      const RandomWeight weight(type.dtype, kOut, in_dim, random_, kExperts);
      const auto actual_weight = *backend->LoadWeight(weight.data);
      const auto expected_weight = *reference_.LoadWeight(weight.data);
      for (const int64_t tokens : {1, 5, 17}) {
        GuardedTensor experts({tokens, kUsed}, DType::kI32);
        for (int64_t i = 0; i < tokens * kUsed; ++i) {
          experts.i32(i) = tokens == 5 ? 3 : static_cast<int32_t>(random_() % kExperts);
        }
        for (const int64_t x_rows : {tokens, tokens * kUsed}) {
          GuardedTensor x({x_rows, in_dim});
          x.FillRandom(random_);
          GuardedTensor actual({tokens * kUsed, kOut}), expected({tokens * kUsed, kOut});
          Product product = {.weight = actual_weight.get(), .y = actual};
          ASSERT_TRUE(backend->ExpertMatMul({x, experts, {&product, 1}, Precision::kInt8}).ok());
          product = {.weight = expected_weight.get(), .y = expected};
          ASSERT_TRUE(reference_.ExpertMatMul({x, experts, {&product, 1}, Precision::kInt8}).ok());
          EXPECT_TRUE(SameBits(actual, expected)) << type.name << ", " << tokens << " tokens";
        }
      }
    }
  }
}

TEST_P(ProductsTest, EmbedReadsRowsOfAnyType) {
  auto backend = Ready(2);
  for (const DTypeTraits& type : WeightDTypes()) {
    const int64_t cols = SmallCols(type.dtype, 2);
    const RandomWeight weight(type.dtype, 35, cols, random_);
    const auto actual_weight = *backend->LoadWeight(weight.data);
    const auto expected_weight = *reference_.LoadWeight(weight.data);
    const int32_t ids[] = {0, 34, 16, 15, 34, 1, 31};
    for (const float scale : {1.0f, 45.254834f}) {
      GuardedTensor actual({7, cols}, DType::kF32, 2), expected({7, cols});
      ASSERT_TRUE(backend->Embed({ids, actual_weight.get(), scale, actual}).ok());
      ASSERT_TRUE(reference_.Embed({ids, expected_weight.get(), scale, expected}).ok());
      EXPECT_TRUE(SameBits(actual, expected)) << type.name;
    }
  }
}

// Negative control: the comparison above sees a single wrong bit of a weight.
TEST_P(ProductsTest, OneFlippedBitTurnsTheComparisonRed) {
  auto backend = Ready(1);
  for (const DTypeTraits& type : WeightDTypes()) {
    const int64_t cols = SmallCols(type.dtype, 1);
    RandomWeight weight(type.dtype, 16, cols, random_);
    GuardedTensor x({2, cols}), before({2, 16}), after({2, 16});
    x.FillRandom(random_);
    const auto sound = *backend->LoadWeight(weight.data);
    Product product = {.weight = sound.get(), .y = before};
    ASSERT_TRUE(backend->MatMul({x, {&product, 1}, Precision::kInt8}).ok());
    // A byte of codes in every type.
    weight.parts[0][type.block_values == 1 ? 1 : type.block_bytes / 2] ^= std::byte{0x04};
    const auto corrupted = *backend->LoadWeight(weight.data);
    product = {.weight = corrupted.get(), .y = after};
    ASSERT_TRUE(backend->MatMul({x, {&product, 1}, Precision::kInt8}).ok());
    EXPECT_FALSE(SameBits(after, before)) << type.name;
  }
}

TEST_P(ProductsTest, LoadingRefusesWhatIsNotFinite) {
  auto backend = Ready(3);
  for (const DTypeTraits& type : WeightDTypes()) {
    const int64_t cols = SmallCols(type.dtype, 2);
    for (const uint16_t bad : {0x7c00, 0xfc00, 0x7e00, 0x7c01}) {
      RandomWeight weight(type.dtype, 200, cols, random_, 2);
      std::vector<int> places = HalfScaleOffsets(type.dtype);
      if (places.empty()) places = {0};
      const int64_t block = 100 * (cols / type.block_values) + 1;  // row 100, second block
      std::byte* at = &weight.parts[1][block * type.block_bytes + places.back()];
      const float f32 = bad == 0x7c00 ? std::numeric_limits<float>::infinity()
                                      : std::numeric_limits<float>::quiet_NaN();
      if (type.dtype == DType::kF32) {
        std::memcpy(at, &f32, 4);
      } else if (type.dtype == DType::kMXFP4) {
        *at = std::byte{255};
      } else {
        const uint16_t bits = type.dtype == DType::kBF16 ? BitsOfFloat(f32) >> 16 : bad;
        std::memcpy(at, &bits, 2);
      }
      for (Backend* on : {backend.get(), static_cast<Backend*>(&reference_)}) {
        const auto status = on->LoadWeight(weight.data).status();
        EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << type.name;
        EXPECT_NE(status.message().find("row 100, column " + std::to_string(type.block_values) +
                                        " of expert 1"),
                  absl::string_view::npos)
            << status;
        EXPECT_NE(status.message().find(weight.data.name), absl::string_view::npos) << status;
      }
    }
  }
}

TEST_P(ProductsTest, LoadingRefusesWrongSizes) {
  auto backend = Ready(1);
  const auto code = [&](const WeightData& data) {
    const auto actual = backend->LoadWeight(data).status().code();
    EXPECT_EQ(reference_.LoadWeight(data).status().code(), actual);
    return actual;
  };
  const RandomWeight weight(DType::kQ4_0, 16, 64, random_, 2);
  EXPECT_EQ(code(weight.data), absl::StatusCode::kOk);
  WeightData wrong = weight.data;
  wrong.parts[1] = wrong.parts[1].first(wrong.parts[1].size() - 1);
  EXPECT_EQ(code(wrong), absl::StatusCode::kInvalidArgument);
  wrong = weight.data;
  wrong.parts.pop_back();
  EXPECT_EQ(code(wrong), absl::StatusCode::kInvalidArgument);
  wrong = weight.data;
  wrong.cols = 48;
  EXPECT_EQ(code(wrong), absl::StatusCode::kInvalidArgument);
  wrong = weight.data;
  wrong.rows = int64_t{1} << 60;
  EXPECT_EQ(code(wrong), absl::StatusCode::kInvalidArgument);
  wrong = weight.data;
  wrong.cols = int64_t{1} << 62;
  EXPECT_EQ(code(wrong), absl::StatusCode::kInvalidArgument);
  wrong = weight.data;
  wrong.rows = 0;
  EXPECT_EQ(code(wrong), absl::StatusCode::kInvalidArgument);
  wrong = weight.data;
  wrong.dtype = DType::kI32;
  EXPECT_EQ(code(wrong), absl::StatusCode::kInvalidArgument);
}

TEST_P(ProductsTest, WrongArgumentsAreErrors) {
  auto backend = Ready(1);
  const RandomWeight weight(DType::kQ4_0, 16, 64, random_);
  const auto loaded = *backend->LoadWeight(weight.data);
  GuardedTensor x({3, 64}), narrow({3, 32}), y({3, 16}), short_y({2, 16});
  const auto code = [&](const TensorView& in, const Product& product) {
    return backend->MatMul({in, {&product, 1}, Precision::kInt8}).code();
  };
  x.FillRandom(random_);
  EXPECT_EQ(code(x, {.weight = loaded.get(), .y = y}), absl::StatusCode::kOk);
  EXPECT_EQ(code(narrow, {.weight = loaded.get(), .y = y}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, {.weight = loaded.get(), .y = short_y}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, {.weight = nullptr, .y = y}), absl::StatusCode::kInvalidArgument);
  TensorView in_x = x;
  in_x.shape[1] = 16;
  EXPECT_EQ(code(x, {.weight = loaded.get(), .y = in_x}), absl::StatusCode::kInvalidArgument);
  TensorView one_row = y;
  one_row.strides[0] = 0;
  EXPECT_EQ(code(x, {.weight = loaded.get(), .y = one_row}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(x, {.weight = loaded.get(), .bias = x, .y = y}),
            absl::StatusCode::kInvalidArgument);
  const uint16_t slots[] = {0, 1, 0};
  EXPECT_EQ(code(x, {.weight = loaded.get(), .adapters = {{}, slots}, .y = y}),
            absl::StatusCode::kInvalidArgument);

  GuardedTensor experts({3, 1}, DType::kI32);
  for (int i = 0; i < 3; ++i) experts.i32(i) = i - 1;
  const Product product = {.weight = loaded.get(), .y = y};
  EXPECT_EQ(backend->ExpertMatMul({x, experts, {&product, 1}, Precision::kInt8}).code(),
            absl::StatusCode::kInvalidArgument);
  const int32_t ids[] = {0, 16, 1};
  GuardedTensor rows({3, 64});
  EXPECT_EQ(backend->Embed({ids, loaded.get(), 1, rows}).code(),
            absl::StatusCode::kInvalidArgument);

  auto unreserved = MakeBackend(1);
  const auto other = *unreserved->LoadWeight(weight.data);
  const Product early = {.weight = other.get(), .y = y};
  EXPECT_EQ(unreserved->MatMul({x, {&early, 1}, Precision::kInt8}).code(),
            absl::StatusCode::kFailedPrecondition);
}

POTLUCK_INSTANTIATE_CPU_TARGETS(ProductsTest);

}  // namespace
}  // namespace potluck::kernels
