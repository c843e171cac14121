// Products with AVX2: 8 outputs per vector. vpmaddubsw multiplies unsigned by signed bytes and adds
// neighbours into 16 bits, saturating; MaxSteps() keeps every sum below that.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/product_kernels.h"

namespace potluck::kernels {
namespace {

constexpr int kLanes = 8;
constexpr int kMaxTokens = 4;
constexpr bool kUnsignedCodes = false;

// A step adds at most 2 * max_code * 127 to each of 16 bits.
constexpr int MaxSteps(int max_code) {
  const int possible = 32767 / (2 * 127 * max_code);
  return possible >= 8 ? 8 : possible >= 4 ? 4 : possible >= 2 ? 2 : 1;
}

using Bytes = __m256i;
using Ints = __m256i;
using Floats = __m256;
using Partial = __m256i;  // 16 x 16 bits, two per output
using Scale = __m256i;    // the same, the scale twice
using Pair = __m256i;

inline Bytes LoadBytes(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline Bytes Or(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }

// Bits [from, from + count) of every byte, moved to bit `to`.
template <int from, int count, int to>
inline Bytes Bits(Bytes b) {
  if constexpr (from > to) b = _mm256_srli_epi16(b, from - to);
  if constexpr (from < to) b = _mm256_slli_epi16(b, to - from);
  return _mm256_and_si256(b, _mm256_set1_epi8(((1 << count) - 1) << to));
}

inline Bytes Lookup(Bytes b, const int8_t* table) {
  return _mm256_shuffle_epi8(
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))), b);
}
inline Bytes WideCodes(Bytes b) { return b; }

inline __m256i Broadcast4(const void* p) {
  int32_t four;
  memcpy(&four, p, sizeof(four));
  return _mm256_set1_epi32(four);
}

inline Partial ZeroPartial() { return _mm256_setzero_si256(); }
inline Ints ZeroInts() { return _mm256_setzero_si256(); }

template <bool is_signed>
inline Partial Step(Partial partial, Bytes codes, const int8_t* x) {
  const __m256i four = Broadcast4(x);
  // A signed code's sign moves over to x: |-128| is 128 unsigned, and x is never -128.
  const __m256i products =
      is_signed ? _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(four, codes))
                : _mm256_maddubs_epi16(codes, four);
  return _mm256_add_epi16(partial, products);
}

inline Ints FlushScaled(Ints ints, Partial partial, Scale scale) {
  return _mm256_add_epi32(ints, _mm256_madd_epi16(partial, scale));
}
inline Ints Flush(Ints ints, Partial partial) {
  return FlushScaled(ints, partial, _mm256_set1_epi16(1));
}

inline __m128i LoadEight(const uint8_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}

template <bool packed>
inline Scale LoadScale(const uint8_t* p) {
  __m128i bytes = LoadEight(p);
  if constexpr (packed) bytes = _mm_and_si128(bytes, _mm_set1_epi8(15));
  return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(bytes, bytes));
}

template <int mask, int shift>
inline Pair LoadPair(const uint8_t* p) {
  __m128i bytes = _mm_unpacklo_epi8(LoadEight(p), LoadEight(p + kPanelRows));
  if constexpr (shift > 0) bytes = _mm_srli_epi16(bytes, shift);
  if constexpr (mask != 0xff) bytes = _mm_and_si128(bytes, _mm_set1_epi8(mask));
  return _mm256_cvtepi8_epi16(bytes);
}

inline Ints PairDot(Ints ints, Pair pair, const int16_t* two_sums) {
  return _mm256_add_epi32(ints, _mm256_madd_epi16(pair, Broadcast4(two_sums)));
}

template <int shift>
inline Ints SubtractShifted(Ints a, Ints b) {
  return _mm256_sub_epi32(a, _mm256_slli_epi32(b, shift));
}
inline Ints BroadcastInt(const int32_t* p) { return Broadcast4(p); }
template <int shift>
inline Ints SubtractSum(Ints ints, const int32_t* sum) {
  return SubtractShifted<shift>(ints, BroadcastInt(sum));
}

inline Floats ToFloats(Ints ints) { return _mm256_cvtepi32_ps(ints); }
inline Floats ZeroFloats() { return _mm256_setzero_ps(); }
inline Floats LoadFloats(const uint8_t* p) {
  return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
}
inline Floats LoadHalf(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline Floats LoadBrain(const uint8_t* p) {
  const __m128i brains = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(brains), 16));
}
inline Floats Broadcast(const float* p) { return _mm256_set1_ps(*p); }
inline Floats Multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats MultiplyAdd(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline void StoreFloats(float* p, Floats floats) { _mm256_storeu_ps(p, floats); }

#include "kernels/cpu/product_kernels_body.inc"

}  // namespace

const ProductKernels ProductKernels_cpu_avx2 = POTLUCK_PRODUCT_KERNELS;

}  // namespace potluck::kernels
