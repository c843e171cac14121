// cpu-1's elementary functions: near the exactly rounded values that tests/golden/numerics holds,
// and the same bits in every instruction set's loops.
#include "kernels/numerics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <string>

#include "kernels/cpu/cpu_target.h"
#include "kernels/cpu/float_kernels.h"
#include "kernels/numerics_loops.h"
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
    {"exp", Exp, std::exp, 1},    {"log", Log, std::log, 0.51}, {"sin", Sin, std::sin, 0.51},
    {"cos", Cos, std::cos, 0.51}, {"tanh", Tanh, std::tanh, 2}, {"erf", Erf, std::erf, 2},
};
constexpr double kPowBound = 0.51;

// How far `got` is from `exact`, in units in the last place of a float of that size.
double Ulps(float got, double exact) {
  if (std::isnan(exact) || std::isnan(got)) {
    return std::isnan(exact) && std::isnan(got) ? 0 : kInfinity;
  }
  const float rounded = static_cast<float>(exact);
  if (std::isinf(got) || std::isinf(rounded)) return got == rounded ? 0 : kInfinity;
  int exponent = -125;
  if (exact != 0) std::frexp(exact, &exponent);
  return std::fabs(got - exact) / std::ldexp(1.0, std::max(exponent, -125) - 24);
}

bool SameFloat(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || BitsOfFloat(a) == BitsOfFloat(b);
}

TEST(NumericsTest, MeetsItsBoundsOnExactlyRoundedValues) {
  std::ifstream file(POTLUCK_SOURCE_DIR "/tests/golden/numerics/functions.txt");
  ASSERT_TRUE(file) << "no golden values";
  std::string name, x_bits, y_bits, float_bits, double_bits;
  int64_t lines = 0;
  while (file >> name >> x_bits >> y_bits >> float_bits >> double_bits) {
    const auto number = [](const std::string& bits) {
      return FloatFromBits(static_cast<uint32_t>(std::stoul(bits, nullptr, 16)));
    };
    const float x = number(x_bits);
    const double exact = std::bit_cast<double>(std::stoull(double_bits, nullptr, 16));
    ++lines;
    if (name == "pow") {
      EXPECT_LE(Ulps(Pow(x, number(y_bits)), exact), kPowBound) << x << " ^ " << number(y_bits);
      continue;
    }
    bool known = false;
    for (const Function& function : kFunctions) {
      if (function.name != name) continue;
      known = true;
      const float got = function.call(x);
      EXPECT_LE(Ulps(got, exact), function.bound) << name << "(" << x << ") = " << got;
      if (exact == 0 && got == 0) {
        EXPECT_EQ(std::signbit(got), std::signbit(exact)) << name << "(" << x << ")";
      }
    }
    EXPECT_TRUE(known) << name;
  }
  EXPECT_GT(lines, 1000);
}

// The C library's double functions are within an ulp of a double: 2^-29 of these units.
TEST(NumericsTest, MeetsItsBoundsOnRandomBits) {
  std::mt19937 random(TestSeed());
  for (const Function& function : kFunctions) {
    double worst = 0;
    float at = 0;
    for (int i = 0; i < 300000; ++i) {
      const float x = FloatFromBits(static_cast<uint32_t>(random()));
      const double error = Ulps(function.call(x), function.exact(x));
      if (error > worst) worst = error, at = x;
    }
    EXPECT_LE(worst, function.bound + 0x1p-20) << function.name << "(" << at << ")";
  }
}

TEST(NumericsTest, PowMeetsItsBoundOnRandomNumbers) {
  std::mt19937 random(TestSeed());
  std::uniform_real_distribution<float> exponent(-60, 60), base(-8, 8);
  for (int i = 0; i < 300000; ++i) {
    const float x = std::ldexp(1.0f + base(random) / 16, static_cast<int>(base(random)));
    const float y = i % 2 == 0 ? exponent(random) : std::nearbyint(exponent(random));
    const float signed_x = i % 2 == 0 ? x : -x;
    ASSERT_LE(Ulps(Pow(signed_x, y), std::pow(double{signed_x}, double{y})), kPowBound)
        << signed_x << " ^ " << y;
  }
}

TEST(NumericsTest, SpecialValues) {
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_EQ(Exp(-kInfinity), 0);
  EXPECT_EQ(Exp(0), 1);
  EXPECT_TRUE(std::isnan(Exp(kNan)));
  EXPECT_EQ(Log(0.0f), -kInfinity);
  EXPECT_EQ(Log(-0.0f), -kInfinity);
  EXPECT_TRUE(std::isnan(Log(-1)));
  EXPECT_EQ(Log(kInfinity), kInfinity);
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
  for (const float x : {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, -2.0f, kInfinity, -kInfinity, kNan}) {
    for (const float y :
         {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 3.0f, -3.0f, 2.0f, 1e30f, kInfinity, -kInfinity, kNan}) {
      EXPECT_TRUE(SameFloat(Pow(x, y), std::pow(x, y))) << x << " ^ " << y << ": " << Pow(x, y);
    }
  }
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
