#include "kernels/numerics.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/numerics_loops.h"

namespace potluck::kernels {
namespace {

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
