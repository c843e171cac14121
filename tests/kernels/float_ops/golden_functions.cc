#include "tests/kernels/float_ops/golden_functions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>

namespace potluck::kernels {
namespace {

template <typename Number>
double Ulps(Number got, double exact) {
  using Limits = std::numeric_limits<Number>;
  if (std::isnan(exact) || std::isnan(got)) {
    return std::isnan(exact) && std::isnan(got) ? 0 : std::numeric_limits<double>::infinity();
  }
  const auto rounded = static_cast<Number>(exact);
  if (std::isinf(got) || std::isinf(rounded)) {
    return got == rounded ? 0 : std::numeric_limits<double>::infinity();
  }
  int exponent = Limits::min_exponent;
  if (exact != 0) std::frexp(exact, &exponent);
  const double unit = std::ldexp(1.0, std::max(exponent, Limits::min_exponent) - Limits::digits);
  return std::fabs(got - exact) / unit;
}

float FloatOfBits(const std::string& hex) {
  return std::bit_cast<float>(static_cast<uint32_t>(std::stoul(hex, nullptr, 16)));
}

}  // namespace

double FloatUlps(float got, double exact) { return Ulps(got, exact); }
double DoubleUlps(double got, double exact) { return Ulps(got, exact); }

std::vector<GoldenValue> GoldenFunctionValues() {
  std::vector<GoldenValue> values;
  std::ifstream file(POTLUCK_SOURCE_DIR "/tests/golden/numerics/functions.txt");
  std::string name, x, y, as_float, as_double;
  while (file >> name >> x >> y >> as_float >> as_double) {
    values.push_back({name, FloatOfBits(x), y == "-" ? 0 : FloatOfBits(y),
                      std::bit_cast<double>(std::stoull(as_double, nullptr, 16))});
  }
  EXPECT_GT(values.size(), 1000u) << "tests/golden/numerics/functions.txt is not whole";
  return values;
}

}  // namespace potluck::kernels
