#include "kernels/numerics.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/numerics_loops.h"

namespace potluck::kernels {
namespace {

constexpr double kRoundDouble = 6755399441055744.0;  // 1.5 * 2^52

// ln(x) = exponent * ln 2 + ln(m), m in [sqrt(1/2), sqrt(2)).
struct LogParts {
  double exponent;
  double log_m;
};

// With s = (m - 1) / (m + 1): ln(m) = 2 s (1 + s^2 q(s^2)), q of degree 6 (1.6e-16).
// x is finite and > 0; as a double it is never denormal.
LogParts SplitLog(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcd;
  const int64_t exponent = static_cast<int64_t>(bits - kSqrtHalf) >> 52;
  const double m = std::bit_cast<double>(bits - (static_cast<uint64_t>(exponent) << 52));
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double q = 0x1.2b6688a387e03p-4;
  q = q * z + 0x1.39fd392179a95p-4;
  q = q * z + 0x1.7462bd8f7796ep-4;
  q = q * z + 0x1.c71c62c639fdep-4;
  q = q * z + 0x1.2492492e09d4dp-3;
  q = q * z + 0x1.9999999995204p-3;
  q = q * z + 0x1.5555555555558p-2;
  const double twice = s + s;
  return {static_cast<double>(exponent), twice + twice * (z * q)};
}

// 2^t as a float: t = n + f, 2^f = 1 + f e(f), e of degree 9 (9e-16). The last rounding, to float,
// is the only one that counts, below the normal range too.
float Exp2(double t) {
  t = t < -200.0 ? -200.0 : t;
  t = t > 200.0 ? 200.0 : t;
  const double shifted = t + kRoundDouble;
  const double f = t - (shifted - kRoundDouble);
  double e = 0x1.e5ea86398000ep-28;
  e = e * f + 0x1.b657bac5481a4p-24;
  e = e * f + 0x1.62bfe4219e251p-20;
  e = e * f + 0x1.ffcb75ef3024bp-17;
  e = e * f + 0x1.43091303894aap-13;
  e = e * f + 0x1.5d87fe90b45ffp-10;
  e = e * f + 0x1.3b2ab6fba3832p-7;
  e = e * f + 0x1.c6b08d7044055p-5;
  e = e * f + 0x1.ebfbdff82c590p-3;
  e = e * f + 0x1.62e42fefa39f7p-1;
  const uint64_t n = std::bit_cast<uint64_t>(shifted) - std::bit_cast<uint64_t>(kRoundDouble);
  return static_cast<float>((1.0 + f * e) * std::bit_cast<double>((n + 1023) << 52));
}

// Whole numbers are those whose fraction bits below the unit are zero.
bool IsInteger(float y) { return std::fabs(y) >= 8388608.0f || y == std::trunc(y); }
bool IsOddInteger(float y) {
  return IsInteger(y) && std::fabs(y) < 16777216.0f && (static_cast<int32_t>(y) & 1) != 0;
}

// The part of Pow where an operand is zero or infinite; neither is NaN, x is not 1, y is not 0.
float PowOfZeroOrInfinity(float x, float y) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float a = std::fabs(x);
  if (std::isinf(y)) {
    if (a == 1.0f) return 1.0f;
    return (a > 1.0f) == (y > 0.0f) ? kInfinity : 0.0f;
  }
  const float size = (a == 0.0f) == (y > 0.0f) ? 0.0f : kInfinity;
  return std::signbit(x) && IsOddInteger(y) ? -size : size;
}

// 32 zero bits, then the binary places of 2/pi.
constexpr uint32_t kTwoOverPi[] = {0x00000000, 0xa2f9836e, 0x4e441529, 0xfc2757d1,
                                   0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab};

// |x| > POTLUCK_LOOP_SINCOS_LIMIT, finite (Payne and Hanek): of x * 2/pi only the places that count
// modulo 4 are kept, 94 of them after the point.
void SinCosOfLarge(float x, float* sine, float* cosine) {
  const uint32_t bits = BitsOfFloat(x);
  const uint64_t mantissa = (bits & 0x7fffffu) | 0x800000u;
  const int exponent = static_cast<int>((bits >> 23) & 0xff) - 150;  // |x| = mantissa * 2^exponent
  const int first = exponent + 30;  // so many places of the table only add multiples of 4
  const int word = first / 32, shift = first % 32;
  unsigned __int128 places = 0;
  for (int i = 0; i < 3; ++i) {
    const uint64_t pair =
        (static_cast<uint64_t>(kTwoOverPi[word + i]) << 32) | kTwoOverPi[word + i + 1];
    places = (places << 32) | static_cast<uint32_t>(pair >> (32 - shift));
  }
  const unsigned __int128 product = places * mantissa;
  const uint64_t quadrant =
      static_cast<uint64_t>((product + (static_cast<unsigned __int128>(1) << 93)) >> 94);
  const __int128 fraction =
      static_cast<__int128>(product - (static_cast<unsigned __int128>(quadrant) << 94));
  const double r = static_cast<double>(fraction) * 0x1p-94 * 0x1.921fb54442d18p+0;
  SinCosOfQuadrant(r, quadrant, sine, cosine);
  if (x < 0) *sine = -*sine;
}

void SinCos(float x, float* sine, float* cosine) {
  if (std::fabs(x) <= POTLUCK_LOOP_SINCOS_LIMIT) {
    LoopSinCos(x, sine, cosine);
  } else if (std::isfinite(x)) {
    SinCosOfLarge(x, sine, cosine);
  } else {
    *sine = *cosine = std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace

float Exp(float x) { return LoopExp(x); }

float Log(float x) {
  if (std::isnan(x) || x == std::numeric_limits<float>::infinity()) return x;
  if (x == 0.0f) return -std::numeric_limits<float>::infinity();
  if (x < 0.0f) return std::numeric_limits<float>::quiet_NaN();
  const LogParts parts = SplitLog(x);
  return static_cast<float>(parts.exponent * 0x1.62e42fefa39efp-1 + parts.log_m);
}

float Pow(float x, float y) {
  if (y == 0.0f || x == 1.0f) return 1.0f;
  if (std::isnan(x) || std::isnan(y)) return std::numeric_limits<float>::quiet_NaN();
  if (x == 0.0f || std::isinf(x) || std::isinf(y)) return PowOfZeroOrInfinity(x, y);
  if (x < 0.0f && !IsInteger(y)) return std::numeric_limits<float>::quiet_NaN();
  const LogParts parts = SplitLog(std::fabs(x));
  const float size = Exp2(y * (parts.exponent + parts.log_m * 0x1.71547652b82fep+0));
  return x < 0.0f && IsOddInteger(y) ? -size : size;
}

float Sin(float x) {
  float sine, cosine;
  SinCos(x, &sine, &cosine);
  return sine;
}

float Cos(float x) {
  float sine, cosine;
  SinCos(x, &sine, &cosine);
  return cosine;
}

float Tanh(float x) { return LoopTanh(x); }
float Erf(float x) { return LoopErf(x); }

}  // namespace potluck::kernels
