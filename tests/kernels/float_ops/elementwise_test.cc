// The float operations but attention, on every instruction set: the reference's bits; and the
// reference against double precision.
#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/reference/reference_backend.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "tests/testing/cpu_targets.h"
#include "tests/testing/guarded_tensor.h"

namespace potluck::kernels {
namespace {

constexpr int64_t kColumns[] = {1, 15, 16, 17, 33, 64, 100, 2048, 5003};
constexpr int64_t kRows[] = {1, 5};

// Every third element awkward where `awkward`.
void FillMixed(GuardedTensor& tensor, std::mt19937& random, bool awkward, float scale = 3) {
  tensor.FillRandom(random, scale);
  if (!awkward) return;
  const std::vector<float> bad = AwkwardFloats(random, tensor.num_elements(), false);
  for (int64_t i = 0; i < tensor.num_elements(); i += 1 + random() % 5) tensor.at(i) = bad[i];
}

class ElementwiseTest : public CpuTargetTest {
 protected:
  void SetUp() override {
    CpuTargetTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    alone_ = MakeBackend(1);
    threaded_ = MakeBackend(3);
  }

  // Runs `op(backend, output)` on the reference and, with 1 and 3 threads, on the target.
  template <typename Op>
  void ExpectReferenceBits(std::initializer_list<int64_t> shape, const Op& op) {
    GuardedTensor expected(shape, DType::kF32, 3);
    ReferenceBackend reference;
    const absl::Status status = op(reference, expected);
    ASSERT_TRUE(status.ok()) << status;
    for (Backend* backend : {alone_.get(), threaded_.get()}) {
      GuardedTensor actual(shape, DType::kF32, 3);
      const absl::Status ran = op(*backend, actual);
      ASSERT_TRUE(ran.ok()) << ran;
      EXPECT_TRUE(SameBits(actual, expected)) << backend->info().hardware;
    }
  }

  // The same over all sizes, with and without awkward numbers.
  template <typename Body>
  void ForSizes(const Body& body) {
    for (const int64_t rows : kRows) {
      for (const int64_t columns : kColumns) {
        for (const bool awkward : {false, true}) body(rows, columns, awkward);
      }
    }
  }

  std::unique_ptr<Backend> alone_, threaded_;
  std::mt19937 random_{TestSeed()};
};
POTLUCK_INSTANTIATE_CPU_TARGETS(ElementwiseTest);

TEST_P(ElementwiseTest, RmsNorm) {
  ForSizes([&](int64_t rows, int64_t columns, bool awkward) {
    GuardedTensor x({rows, columns}, DType::kF32, 5), gain({columns});
    FillMixed(x, random_, awkward);
    gain.FillRandom(random_);
    ExpectReferenceBits({rows, columns}, [&](Backend& backend, GuardedTensor& y) {
      return backend.RmsNorm({x, gain, 1e-5f, y});
    });
    // In place.
    ExpectReferenceBits({rows, columns}, [&](Backend& backend, GuardedTensor& y) {
      for (int64_t i = 0; i < y.num_elements(); ++i) y.at(i) = x.at(i);
      return backend.RmsNorm({y, gain, 1e-5f, y});
    });
  });
}

TEST_P(ElementwiseTest, Rope) {
  for (const int64_t dim : {8, 18, 64, 96, 256}) {
    for (const int64_t pairs : {dim / 2, dim / 4, int64_t{1}}) {
      for (const bool adjacent : {false, true}) {
        GuardedTensor start({9, 3, dim}), inv_freq({pairs});
        start.FillRandom(random_);
        for (int64_t i = 0; i < pairs; ++i) {
          inv_freq.at(i) = std::pow(10000.0f, -static_cast<float>(i) / pairs);
        }
        const int32_t positions[] = {0, 1, 2, 100, 4095, 131071, 5, 4194303, 2147483647};
        ExpectReferenceBits({9, 3, dim}, [&](Backend& backend, GuardedTensor& x) {
          for (int64_t i = 0; i < x.num_elements(); ++i) x.at(i) = start.at(i);
          return backend.Rope({x, positions, inv_freq, 1.19f, adjacent});
        });
      }
    }
  }
}

TEST_P(ElementwiseTest, GatedActivation) {
  ForSizes([&](int64_t rows, int64_t columns, bool awkward) {
    for (const GateFunction function :
         {GateFunction::kSilu, GateFunction::kGeluTanh, GateFunction::kGeluErf}) {
      GuardedTensor gate({rows, columns}), up({rows, columns}, DType::kF32, 7);
      FillMixed(gate, random_, awkward);
      FillMixed(up, random_, awkward);
      ExpectReferenceBits({rows, columns}, [&](Backend& backend, GuardedTensor& y) {
        return backend.GatedActivation({gate, up, function, y});
      });
      ExpectReferenceBits({rows, columns}, [&](Backend& backend, GuardedTensor& y) {
        for (int64_t i = 0; i < y.num_elements(); ++i) y.at(i) = gate.at(i);
        return backend.GatedActivation({y, up, function, y});
      });
    }
  });
}

// Gate and up as the halves of one product's rows, the result in the place of the gate.
TEST_P(ElementwiseTest, GatedActivationOfInterleavedHalves) {
  GuardedTensor both({5, 2 * 33});
  both.FillRandom(random_);
  ExpectReferenceBits({5, 2 * 33}, [&](Backend& backend, GuardedTensor& y) {
    for (int64_t i = 0; i < y.num_elements(); ++i) y.at(i) = both.at(i);
    TensorView gate = y.view();
    gate.shape[1] = 33;
    TensorView up = gate;
    up.offset_bytes += 33 * sizeof(float);
    return backend.GatedActivation({gate, up, GateFunction::kSilu, gate});
  });
}

TEST_P(ElementwiseTest, AddScaleAndSoftCap) {
  ForSizes([&](int64_t rows, int64_t columns, bool awkward) {
    GuardedTensor a({rows, columns}, DType::kF32, 1), b({rows, columns});
    FillMixed(a, random_, awkward);
    FillMixed(b, random_, awkward);
    const auto start = [&](GuardedTensor& y) {
      for (int64_t i = 0; i < y.num_elements(); ++i) y.at(i) = a.at(i);
    };
    ExpectReferenceBits({rows, columns}, [&](Backend& backend, GuardedTensor& y) {
      return backend.Add({a, b, y});
    });
    ExpectReferenceBits({rows, columns}, [&](Backend& backend, GuardedTensor& y) {
      start(y);
      return backend.Add({y, b, y});
    });
    ExpectReferenceBits({rows, columns}, [&](Backend& backend, GuardedTensor& y) {
      start(y);
      return backend.Scale({y, 45.254833f});
    });
    ExpectReferenceBits({rows, columns}, [&](Backend& backend, GuardedTensor& y) {
      start(y);
      return backend.SoftCap({y, 30.0f});
    });
  });
}

TEST_P(ElementwiseTest, GatherRows) {
  GuardedTensor x({9, 37}, DType::kF32, 2);
  x.FillRandom(random_);
  const int32_t rows[] = {8, 0, 0, 5};
  ExpectReferenceBits({4, 37}, [&](Backend& backend, GuardedTensor& y) {
    return backend.GatherRows({x, rows, y});
  });
  ExpectReferenceBits({0, 37}, [&](Backend& backend, GuardedTensor& y) {
    return backend.GatherRows({x, {}, y});
  });
}

TEST_P(ElementwiseTest, ExpertRoute) {
  struct Case {
    int64_t num_experts, used;
  };
  for (const Case c : {Case{1, 1}, Case{8, 2}, Case{17, 5}, Case{128, 8}, Case{60, 60}}) {
    const int64_t num_experts = c.num_experts, used = c.used;
    for (const int awkward : {0, 1, 2}) {
      GuardedTensor logits({40, num_experts}, DType::kF32, 1);
      FillMixed(logits, random_, awkward == 1);
      if (awkward == 2) logits.Fill([] { return 0.25f; });  // all tie
      for (const bool normalize : {false, true}) {
        std::vector<GuardedTensor> chosen;  // by the reference first
        ExpectReferenceBits({40, used}, [&](Backend& backend, GuardedTensor& weights) {
          chosen.emplace_back(GuardedTensor({40, used}, DType::kI32));
          return backend.ExpertRoute({logits, normalize, chosen.back(), weights});
        });
        ASSERT_EQ(chosen.size(), 3u);
        for (int i = 1; i < 3; ++i) EXPECT_TRUE(SameBits(chosen[i], chosen[0]));
        for (int64_t j = 0; awkward == 2 && j < used; ++j) EXPECT_EQ(chosen[0].i32(j), j);
      }
    }
  }
}

TEST_P(ElementwiseTest, ExpertCombine) {
  for (const int64_t columns : {1, 16, 33, 2048}) {
    for (const int64_t used : {1, 2, 8}) {
      GuardedTensor x({5 * used, columns}, DType::kF32, 4), weights({5, used});
      FillMixed(x, random_, used == 2);
      weights.FillRandom(random_);
      ExpectReferenceBits({5, columns}, [&](Backend& backend, GuardedTensor& y) {
        return backend.ExpertCombine({x, weights, y});
      });
    }
  }
}

// Where one input element changes, the comparison must notice.
TEST_P(ElementwiseTest, OneChangedElementTurnsTheComparisonRed) {
  GuardedTensor x({3, 100}), up({3, 100}), gain({100});
  x.FillRandom(random_);
  up.FillRandom(random_);
  gain.FillRandom(random_);
  ReferenceBackend reference;
  std::unique_ptr<Backend> backend = MakeBackend(1);
  GuardedTensor norm({3, 100}), other_norm({3, 100}), gate({3, 100}), other_gate({3, 100});
  ASSERT_TRUE(reference.RmsNorm({x, gain, 1e-5f, norm}).ok());
  ASSERT_TRUE(reference.GatedActivation({x, up, GateFunction::kSilu, gate}).ok());
  x.at(150) = std::nextafter(x.at(150), 100.0f) + 0.5f;
  ASSERT_TRUE(backend->RmsNorm({x, gain, 1e-5f, other_norm}).ok());
  ASSERT_TRUE(backend->GatedActivation({x, up, GateFunction::kSilu, other_gate}).ok());
  EXPECT_FALSE(SameBits(other_norm, norm));
  EXPECT_FALSE(SameBits(other_gate, gate));
}

// Against double precision. u = 2^-24. The sum of D squares errs by (D/16 + 5) u, its root's
// reciprocal by half of that and 3 u more, two products by 2 u.
TEST(ReferenceTest, RmsNormIsNearDoublePrecision) {
  std::mt19937 random(TestSeed());
  ReferenceBackend reference;
  for (const int64_t dim : {1, 16, 100, 4096}) {
    GuardedTensor x({1, dim}), gain({dim}), y({1, dim});
    x.FillRandom(random);
    gain.FillRandom(random);
    ASSERT_TRUE(reference.RmsNorm({x, gain, 1e-5f, y}).ok());
    double squares = 0;
    for (int64_t d = 0; d < dim; ++d) squares += double{x.at(d)} * x.at(d);
    const double r = 1 / std::sqrt(squares / dim + 1e-5f);
    const int64_t additions = dim / 16 + 5;
    const double bound = (static_cast<double>(additions) / 2 + 6) * 0x1p-24;
    for (int64_t d = 0; d < dim; ++d) {
      const double want = x.at(d) * r * gain.at(d);
      EXPECT_NEAR(y.at(d), want, bound * std::fabs(want)) << dim << ", " << d;
    }
  }
}

// A gate is a few operations of at most 2 u each on top of its function's 2: 16 u of the largest
// intermediate value cover it. 1 + tanh and 1 + erf cancel below -1, where |x| u remains.
TEST(ReferenceTest, GatesAreNearDoublePrecision) {
  ReferenceBackend reference;
  std::vector<float> inputs;
  for (float x = -12; x <= 12; x += 0.03125f) inputs.push_back(x);
  const int64_t count = static_cast<int64_t>(inputs.size());
  GuardedTensor gate({1, count}), up({1, count}), y({1, count});
  gate.Fill(inputs);
  up.Fill([] { return 1.0f; });
  for (const GateFunction function :
       {GateFunction::kSilu, GateFunction::kGeluTanh, GateFunction::kGeluErf}) {
    ASSERT_TRUE(reference.GatedActivation({gate, up, function, y}).ok());
    for (int64_t i = 0; i < count; ++i) {
      const double x = inputs[i];
      const double c = std::sqrt(2 / M_PI);
      const double want = function == GateFunction::kSilu ? x / (1 + std::exp(-x))
                          : function == GateFunction::kGeluTanh
                              ? 0.5 * x * (1 + std::tanh(c * (x + 0.044715 * x * x * x)))
                              : 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
      EXPECT_NEAR(y.at(i), want, 16 * 0x1p-24 * std::fabs(x)) << x;
    }
  }
}

TEST(ReferenceTest, RopeTurnsBothKindsOfPairs) {
  ReferenceBackend reference;
  for (const bool adjacent : {false, true}) {
    GuardedTensor x({1, 1, 6}), inv_freq({2});
    const float start[] = {1, 2, 3, 4, 5, 6}, frequencies[] = {0.5f, 0.25f};
    x.Fill(start);
    inv_freq.Fill(frequencies);
    const int32_t positions[] = {3};
    ASSERT_TRUE(reference.Rope({x, positions, inv_freq, 2.0f, adjacent}).ok());
    for (int i = 0; i < 2; ++i) {
      const int first = adjacent ? 2 * i : i, second = adjacent ? 2 * i + 1 : i + 2;
      const double a = start[first], b = start[second], angle = 3 * frequencies[i];
      EXPECT_NEAR(x.at(first), 2 * (a * std::cos(angle) - b * std::sin(angle)), 32 * 0x1p-24);
      EXPECT_NEAR(x.at(second), 2 * (b * std::cos(angle) + a * std::sin(angle)), 32 * 0x1p-24);
    }
    EXPECT_EQ(x.at(4), 5);
    EXPECT_EQ(x.at(5), 6);
  }
}

TEST(ValidateTest, RefusesWrongShapesOverlapsAndNumbers) {
  ReferenceBackend reference;
  const auto refused = absl::StatusCode::kInvalidArgument;
  GuardedTensor x({4, 8}), y({4, 8}), narrow({4, 7}), gain({8}), none({4, 0}), heads({4, 2, 8});
  for (GuardedTensor* tensor : {&x, &y, &narrow, &gain, &heads}) tensor->Fill([] { return 1.0f; });
  EXPECT_EQ(reference.RmsNorm({x, gain, 0.0f, y}).code(), refused);
  EXPECT_EQ(reference.RmsNorm({x, gain, NAN, y}).code(), refused);
  EXPECT_EQ(reference.RmsNorm({x, gain, 1e-5f, narrow}).code(), refused);
  EXPECT_EQ(reference.RmsNorm({none, gain, 1e-5f, none}).code(), refused);
  EXPECT_EQ(reference.RmsNorm({x.view().Rows(0, 3), gain, 1e-5f, x.view().Rows(1, 3)}).code(),
            refused);
  EXPECT_EQ(reference.Add({x, y, narrow}).code(), refused);
  EXPECT_EQ(reference.SoftCap({x, 0.0f}).code(), refused);
  const int32_t outside[] = {4}, negative[] = {-1};
  EXPECT_EQ(reference.GatherRows({x, outside, y.view().Rows(0, 1)}).code(), refused);
  EXPECT_EQ(reference.GatherRows({x, negative, y.view().Rows(0, 1)}).code(), refused);
  const int32_t positions[] = {0, 1, 2, -3};
  GuardedTensor inv_freq({4}), too_many({5});
  inv_freq.Fill([] { return 1.0f; });
  EXPECT_EQ(reference.Rope({heads, positions, inv_freq}).code(), refused);
  EXPECT_EQ(reference.Rope({heads, {positions, 3}, inv_freq}).code(), refused);
  EXPECT_EQ(reference.Rope({heads, {positions, 3}, too_many}).code(), refused);
  GuardedTensor experts({4, 9}, DType::kI32), weights({4, 9});
  EXPECT_EQ(reference.ExpertRoute({x, true, experts, weights}).code(), refused);
  TensorView broadcast = y.view();
  broadcast.strides[0] = 0;
  EXPECT_EQ(reference.Add({x, x, broadcast}).code(), refused);
}

}  // namespace
}  // namespace potluck::kernels
