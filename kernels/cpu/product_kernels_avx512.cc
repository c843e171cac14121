// Products with AVX-512 and VNNI: 16 outputs per vector, four 8-bit products per lane and
// instruction (vpdpbusd: unsigned by signed, summed exactly in 32 bits).
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/product_kernels.h"

namespace potluck::kernels {
namespace {

constexpr int kLanes = 16;
constexpr int kMaxTokens = 8;
constexpr bool kUnsignedCodes = true;
constexpr int MaxSteps(int) { return 8; }

using Bytes = __m512i;
using Ints = __m512i;
using Floats = __m512;
using Partial = __m512i;
using Scale = __m512i;
using Pair = __m512i;

inline Bytes LoadBytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline Bytes Or(Bytes a, Bytes b) { return _mm512_or_si512(a, b); }

// Bits [from, from + count) of every byte, moved to bit `to`.
template <int from, int count, int to>
inline Bytes Bits(Bytes b) {
  if constexpr (from > to) b = _mm512_srli_epi16(b, from - to);
  if constexpr (from < to) b = _mm512_slli_epi16(b, to - from);
  return _mm512_and_si512(b, _mm512_set1_epi8(((1 << count) - 1) << to));
}

inline Bytes Lookup(Bytes b, const int8_t* table) {
  return _mm512_shuffle_epi8(
      _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))), b);
}
inline Bytes WideCodes(Bytes b) { return _mm512_xor_si512(b, _mm512_set1_epi8(-128)); }

inline __m512i Broadcast4(const void* p) {
  int32_t four;
  memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}

inline Partial ZeroPartial() { return _mm512_setzero_si512(); }
inline Ints ZeroInts() { return _mm512_setzero_si512(); }

template <bool is_signed>
inline Partial Step(Partial partial, Bytes codes, const int8_t* x) {
  static_assert(!is_signed);
  return _mm512_dpbusd_epi32(partial, codes, Broadcast4(x));
}

inline Ints Flush(Ints ints, Partial partial) { return _mm512_add_epi32(ints, partial); }
inline Ints FlushScaled(Ints ints, Partial partial, Scale scale) {
  return _mm512_add_epi32(ints, _mm512_mullo_epi32(partial, scale));
}

template <bool packed>
inline Scale LoadScale(const uint8_t* p) {
  __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  if constexpr (packed) bytes = _mm_and_si128(bytes, _mm_set1_epi8(15));
  return _mm512_cvtepi8_epi32(bytes);
}

template <int mask, int shift>
inline Pair LoadPair(const uint8_t* p) {
  __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + kPanelRows));
  if constexpr (shift > 0) {
    first = _mm_srli_epi16(first, shift);
    second = _mm_srli_epi16(second, shift);
  }
  if constexpr (mask != 0xff) {
    first = _mm_and_si128(first, _mm_set1_epi8(mask));
    second = _mm_and_si128(second, _mm_set1_epi8(mask));
  }
  return _mm512_cvtepi8_epi16(
      _mm256_set_m128i(_mm_unpackhi_epi8(first, second), _mm_unpacklo_epi8(first, second)));
}

inline Ints PairDot(Ints ints, Pair pair, const int16_t* two_sums) {
  return _mm512_dpwssd_epi32(ints, pair, Broadcast4(two_sums));
}

template <int shift>
inline Ints SubtractShifted(Ints a, Ints b) {
  return _mm512_sub_epi32(a, _mm512_slli_epi32(b, shift));
}
inline Ints BroadcastInt(const int32_t* p) { return Broadcast4(p); }
template <int shift>
inline Ints SubtractSum(Ints ints, const int32_t* sum) {
  return SubtractShifted<shift>(ints, BroadcastInt(sum));
}

inline Floats ToFloats(Ints ints) { return _mm512_cvtepi32_ps(ints); }
inline Floats ZeroFloats() { return _mm512_setzero_ps(); }
inline Floats LoadFloats(const uint8_t* p) { return _mm512_loadu_ps(p); }
inline Floats LoadHalf(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Floats LoadBrain(const uint8_t* p) {
  const __m256i brains = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(brains), 16));
}
inline Floats Broadcast(const float* p) { return _mm512_set1_ps(*p); }
inline Floats Multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats MultiplyAdd(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline void StoreFloats(float* p, Floats floats) { _mm512_storeu_ps(p, floats); }

#include "kernels/cpu/product_kernels_body.inc"

}  // namespace

const ProductKernels ProductKernels_cpu_avx512 = POTLUCK_PRODUCT_KERNELS;

}  // namespace potluck::kernels
