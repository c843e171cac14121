// The doubles of exact_math.h against exactly rounded values and against the C library.
#include "kernels/exact_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/kernels/float_ops/golden_functions.h"
#include "tests/testing/cpu_targets.h"

namespace potluck::kernels {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// As exact_math.h states it, and half a unit that the golden value itself may be off.
constexpr double kUlps = 2.5;

double PowBound(double base, double exponent) {
  return (1 + std::fabs(exponent * std::log(base))) * 6e-16;
}

TEST(ExactMathTest, MeetsItsBoundsOnExactlyRoundedValues) {
  int exps = 0, logs = 0, pows = 0;
  for (const GoldenValue& value : GoldenFunctionValues()) {
    if (value.function == "exp") {
      ++exps;
      EXPECT_LE(DoubleUlps(ExactExp(value.x), value.exact), kUlps) << "exp(" << value.x << ")";
    } else if (value.function == "log") {
      ++logs;
      EXPECT_LE(DoubleUlps(ExactLog(value.x), value.exact), kUlps) << "log(" << value.x << ")";
    } else if (value.function == "pow" && value.x > 0 && std::isfinite(value.x) &&
               std::isfinite(value.y)) {
      ++pows;
      const double got = ExactPow(value.x, value.y);
      if (got == value.exact) continue;  // infinity and 0 too
      EXPECT_LE(std::fabs(got / value.exact - 1), PowBound(value.x, value.y))
          << value.x << " ^ " << value.y;
    }
  }
  EXPECT_GT(exps, 100);
  EXPECT_GT(logs, 100);
  EXPECT_GT(pows, 100);
}

// The C library's functions are within a unit of their own.
TEST(ExactMathTest, MeetsItsBoundsOnRandomNumbers) {
  std::mt19937_64 random(TestSeed());
  std::uniform_real_distribution<double> exponent(-700, 700);
  for (int i = 0; i < 100000; ++i) {
    const double x = exponent(random), e = std::exp(x);
    ASSERT_LE(DoubleUlps(ExactExp(x), e), kUlps + 1) << x;
    ASSERT_LE(DoubleUlps(ExactLog(e), std::log(e)), kUlps + 1) << e;
    const double base = std::exp(x / 50), power = 20 * std::sin(x);
    ASSERT_NEAR(ExactPow(base, power) / std::pow(base, power), 1, PowBound(base, power) + 2e-16)
        << base << " ^ " << power;
  }
}

TEST(ExactMathTest, SpecialValues) {
  EXPECT_EQ(ExactLog(1), 0);
  EXPECT_EQ(ExactLog(0), -kInfinity);
  EXPECT_EQ(ExactLog(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(ExactLog(-1)));
  EXPECT_TRUE(std::isnan(ExactLog(NAN)));
  EXPECT_EQ(ExactExp(0), 1);
  EXPECT_EQ(ExactExp(kInfinity), kInfinity);
  EXPECT_EQ(ExactExp(-kInfinity), 0);
  EXPECT_EQ(ExactExp(710), kInfinity);
  EXPECT_EQ(ExactExp(-746), 0);
  EXPECT_EQ(ExactExp(-745), std::numeric_limits<double>::denorm_min());
  EXPECT_TRUE(std::isnan(ExactExp(NAN)));
  EXPECT_EQ(ExactPow(10, 0), 1);
  EXPECT_EQ(ExactPow(1, -1e300), 1);
}

}  // namespace
}  // namespace potluck::kernels
