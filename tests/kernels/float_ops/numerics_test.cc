// cpu-1's elementary functions: near the exactly rounded values that tests/golden/numerics holds,
// and the same bits in every instruction set's loops.
#include "kernels/numerics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_target.h"
#include "kernels/cpu/float_kernels.h"
#include "kernels/numerics_loops.h"
#include "tests/kernels/float_ops/golden_functions.h"
#include "tests/testing/cpu_targets.h"

namespace potluck::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Function {
  std::string name;
  float (*call)(float);
  double (*exact)(double);
  double bound;  // as numerics.h states it
};
const Function kFunctions[] = {
    {"exp", Exp, std::exp, 1},    {"sin", Sin, std::sin, 0.51}, {"cos", Cos, std::cos, 0.51},
    {"tanh", Tanh, std::tanh, 2}, {"erf", Erf, std::erf, 2},
};

bool SameFloat(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || BitsOfFloat(a) == BitsOfFloat(b);
}

TEST(NumericsTest, MeetsItsBoundsOnExactlyRoundedValues) {
  const std::vector<GoldenValue> values = GoldenFunctionValues();
  for (const Function& function : kFunctions) {
    int count = 0;
    for (const GoldenValue& value : values) {
      if (value.function != function.name) continue;
      ++count;
      const float got = function.call(value.x);
      EXPECT_LE(FloatUlps(got, value.exact), function.bound)
          << function.name << "(" << value.x << ") = " << got;
      if (value.exact == 0 && got == 0) {
        EXPECT_EQ(std::signbit(got), std::signbit(value.exact))
            << function.name << "(" << value.x << ")";
      }
    }
    EXPECT_GT(count, 100) << function.name;
  }
}

// The C library's double functions are within an ulp of a double: 2^-29 of these units.
TEST(NumericsTest, MeetsItsBoundsOnRandomBits) {
  std::mt19937 random(TestSeed());
  for (const Function& function : kFunctions) {
    double worst = 0;
    float at = 0;
    for (int i = 0; i < 300000; ++i) {
      const float x = FloatFromBits(static_cast<uint32_t>(random()));
      const double error = FloatUlps(function.call(x), function.exact(x));
      if (error > worst) worst = error, at = x;
    }
    EXPECT_LE(worst, function.bound + 0x1p-20) << function.name << "(" << at << ")";
  }
}

TEST(NumericsTest, SpecialValues) {
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_EQ(Exp(-kInfinity), 0);
  EXPECT_EQ(Exp(0), 1);
  EXPECT_TRUE(std::isnan(Exp(kNan)));
  EXPECT_EQ(Tanh(kInfinity), 1);
  EXPECT_EQ(Tanh(-kInfinity), -1);
  EXPECT_EQ(Erf(-kInfinity), -1);
  for (float (*odd)(float) : {Sin, Tanh, Erf}) {
    EXPECT_TRUE(std::signbit(odd(-0.0f)));
    EXPECT_TRUE(std::isnan(odd(kNan)));
    EXPECT_EQ(odd(0x1p-149f), odd == Erf ? Erf(0x1p-149f) : 0x1p-149f);
  }
  EXPECT_TRUE(std::isnan(Sin(kInfinity)));
  EXPECT_TRUE(std::isnan(Cos(-kInfinity)));
}

// The loops that kernels run, through the operations that lay their functions bare.
class LoopTest : public CpuTargetTest {
 protected:
  const FloatKernels& kernels() const { return *(*ChooseCpuTarget(GetParam()))->floats; }
};
POTLUCK_INSTANTIATE_CPU_TARGETS(LoopTest);

constexpr int64_t kLoop = 1000;

TEST_P(LoopTest, GiveTheScalarFunctionsBits) {
  std::mt19937 random(TestSeed());
  std::vector<float> x(kLoop), one(kLoop, 1.0f), y(kLoop), sine(kLoop), cosine(kLoop);
  for (int round = 0; round < 300; ++round) {
    for (float& value : x) {
      value = FloatFromBits(static_cast<uint32_t>(random()));
      if (round % 2 == 0) value = std::ldexp(static_cast<int32_t>(random()), -29);
    }
    kernels().gated_activation(0, x.data(), one.data(), kLoop, y.data());
    for (int64_t i = 0; i < kLoop; ++i) {
      ASSERT_TRUE(SameFloat(y[i], x[i] / (1.0f + Exp(-x[i])))) << x[i];
    }
    kernels().gated_activation(2, x.data(), one.data(), kLoop, y.data());
    for (int64_t i = 0; i < kLoop; ++i) {
      ASSERT_TRUE(SameFloat(y[i], (0.5f * x[i]) * (1.0f + Erf(x[i] * 0.7071067811865476f))));
    }
    y = x;
    kernels().soft_cap(y.data(), 1.0f, kLoop);
    for (int64_t i = 0; i < kLoop; ++i) ASSERT_TRUE(SameFloat(y[i], Tanh(x[i]))) << x[i];
    for (float& value : x) {
      if (!(std::fabs(value) <= POTLUCK_LOOP_SINCOS_LIMIT)) value = 0;
    }
    kernels().rope_angles(x.data(), 1.0f, 1.0f, kLoop, cosine.data(), sine.data());
    for (int64_t i = 0; i < kLoop; ++i) {
      ASSERT_TRUE(SameFloat(sine[i], Sin(x[i])) && SameFloat(cosine[i], Cos(x[i]))) << x[i];
    }
  }
}

// A span of attention whose largest score is 0 turns each other score into its exp.
TEST_P(LoopTest, ExpOfAnySpanIsTheScalarExp) {
  std::mt19937 random(TestSeed());
  float x[kSpanRow], w[kSpanRow], max, sum;
  for (int round = 0; round < 3000; ++round) {
    for (float& value : x) {
      const float any = FloatFromBits(static_cast<uint32_t>(random()) | 0x80000000u);
      value = round % 2 == 0 ? any : -static_cast<float>(random() % 110'000'000) * 1e-6f;
    }
    x[round % kSpanRow] = 0;
    std::copy_n(x, kSpanRow, w);
    kernels().attention_softmax(w, 0, kSpanRow, 1.0f, 0.0f, &max, &sum);
    ASSERT_EQ(max, 0);
    for (int i = 0; i < kSpanRow; ++i) ASSERT_TRUE(SameFloat(w[i], Exp(x[i]))) << x[i];
  }
}

}  // namespace
}  // namespace potluck::kernels
