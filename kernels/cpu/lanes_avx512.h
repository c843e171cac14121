// The lanes of cpu-1 in one AVX-512 register. See lanes.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace potluck::kernels {
namespace {

typedef __m512 Lanes;
enum { kQueriesAtOnce = 2 };

static inline Lanes LanesZero() { return _mm512_setzero_ps(); }
static inline Lanes LanesSet(float x) { return _mm512_set1_ps(x); }
static inline Lanes LanesLoad(const float* p) { return _mm512_loadu_ps(p); }
static inline void LanesStore(float* p, Lanes a) { _mm512_storeu_ps(p, a); }
static inline Lanes LanesAdd(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
static inline Lanes LanesMul(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
static inline Lanes LanesMax(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
static inline Lanes LanesFma(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }

static inline Lanes LanesLoadHalf(const void* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
}
static inline void LanesStoreHalf(void* p, Lanes a) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
static inline Lanes LanesLoadInt8(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)));
}

// Lanes i, i + 8 and then i + 4.
static inline __m128 FoldTo4(Lanes a) {
  const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  return _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
}
#include "kernels/cpu/sum_tree_x86.inc"

}  // namespace
}  // namespace potluck::kernels
