// The 16 virtual lanes of cpu-1 on this file's instruction set: as many registers as they take.
// For files that are compiled per instruction set; everything is static, nothing of C++'s library.
//
// LanesMax(a, b) is a > b ? a : b in each lane (b where one is NaN). SumTree adds lanes i and
// i + 8, then i + 4, i + 2, i + 1; SumTree4 does so for four at once. kQueriesAtOnce says how
// many rows of queries the registers hold beside four rows of keys or values.
#pragma once

#if defined(__AVX512F__)
#include "kernels/cpu/lanes_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "kernels/cpu/lanes_avx2.h"
#elif defined(__aarch64__)
#include "kernels/cpu/lanes_neon.h"
#else
#include "kernels/cpu/lanes_scalar.h"
#endif
