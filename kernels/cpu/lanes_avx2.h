// The lanes of cpu-1 in two AVX2 registers. See lanes.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace potluck::kernels {
namespace {

struct Lanes {
  __m256 lo, hi;
};
enum { kQueriesAtOnce = 1 };

static inline Lanes LanesOf(__m256 lo, __m256 hi) {
  Lanes lanes;
  lanes.lo = lo;
  lanes.hi = hi;
  return lanes;
}
static inline Lanes LanesSet(float x) { return LanesOf(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
static inline Lanes LanesZero() { return LanesSet(0.0f); }
static inline Lanes LanesLoad(const float* p) {
  return LanesOf(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
static inline void LanesStore(float* p, Lanes a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
static inline Lanes LanesAdd(Lanes a, Lanes b) {
  return LanesOf(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi));
}
static inline Lanes LanesMul(Lanes a, Lanes b) {
  return LanesOf(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi));
}
static inline Lanes LanesMax(Lanes a, Lanes b) {
  return LanesOf(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi));
}
static inline Lanes LanesFma(Lanes a, Lanes b, Lanes c) {
  return LanesOf(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi));
}

static inline Lanes LanesLoadHalf(const void* p) {
  const __m128i* halves = (const __m128i*)p;
  return LanesOf(_mm256_cvtph_ps(_mm_loadu_si128(halves)),
                 _mm256_cvtph_ps(_mm_loadu_si128(halves + 1)));
}
static inline void LanesStoreHalf(void* p, Lanes a) {
  __m128i* halves = (__m128i*)p;
  _mm_storeu_si128(halves, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}
static inline Lanes LanesLoadInt8(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128((const __m128i*)p);
  return LanesOf(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                 _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))));
}

// Lanes i, i + 8 and then i + 4.
static inline __m128 FoldTo4(Lanes a) {
  const __m256 b = _mm256_add_ps(a.lo, a.hi);
  return _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
}
#include "kernels/cpu/sum_tree_x86.inc"

}  // namespace
}  // namespace potluck::kernels
