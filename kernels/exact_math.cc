#include "kernels/exact_math.h"

#include <cmath>
#include <limits>

namespace potluck::kernels {
namespace {

// log(2) in two parts; the first has 32 trailing zero bits, so that its product with an exponent is
// exact.
constexpr double kLn2High = 0x1.62e42fee00000p-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kInvLn2 = 0x1.71547652b82fep+0;

}  // namespace

double ExactLog(double x) {
  if (std::isnan(x) || x < 0) return std::numeric_limits<double>::quiet_NaN();
  if (x == 0) return -std::numeric_limits<double>::infinity();
  if (std::isinf(x)) return x;
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // in [1/2, 1)
  if (m < 0x1.6a09e667f3bcdp-1) {       // below sqrt(1/2): keep m near 1
    m *= 2;
    --exponent;
  }
  // log(m) = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172; the series is below 2^-60 after s^23.
  const double s = (m - 1) / (m + 1);
  const double s2 = s * s;
  double series = 0;
  for (int k = 23; k >= 3; k -= 2) series = std::fma(series, s2, 1.0 / k);
  const double tail = 2 * s * (series * s2);
  return exponent * kLn2High + (2 * s + (tail + exponent * kLn2Low));
}

double ExactExp(double x) {
  if (std::isnan(x)) return x;
  if (x > 709.79) return std::numeric_limits<double>::infinity();
  if (x < -745.2) return 0;
  const double k = std::nearbyint(x * kInvLn2);
  const double r = std::fma(-k, kLn2Low, std::fma(-k, kLn2High, x));  // |r| <= 0.347
  // 1 + r + r^2/2! + ... + r^14/14!, below 2^-60 after it.
  double sum = 1;
  for (int i = 14; i >= 1; --i) sum = std::fma(sum * r, 1.0 / i, 1.0);
  return std::ldexp(sum, static_cast<int>(k));
}

double ExactPow(double base, double exponent) { return ExactExp(exponent * ExactLog(base)); }

}  // namespace potluck::kernels
