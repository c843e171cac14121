// The inner loops of products, one set per instruction set.
//
// The linker trap: an inline function from a shared header, compiled in a file for AVX-512, can
// become the copy that every other file calls. So the files per instruction set, and the headers
// that they include, hold only static functions, C headers and intrinsics
// (tests/lint/weak_symbols_test.sh).
#pragma once

#include <stdint.h>

#include "kernels/cpu/panel_layout.h"
#include "kernels/formats/code_tables.h"

namespace potluck::kernels {

enum { kTokenTile = 8, kNumQuantizedTypes = 13, kNumFloatTypes = 3 };

// A few panels times a few rows of x.
struct PanelCall {
  const uint8_t* panels;
  int64_t panel_bytes;  // from one panel to the next
  int num_panels;
  int64_t in_dim;                   // K: of the whole row
  int num_tokens;                   // 1..kTokenTile
  const uint8_t* rows[kTokenTile];  // x: quantised rows (panel_layout.h), or f32 for float types
  float (*out)[kTokenTile][kPanelRows];  // per panel: per token: 16 outputs
  bool accumulate;                       // float types only: goes on from what `out` holds
};

struct ProductKernels {
  // Indexed by DType - DType::kQ4_0, and by DType.
  void (*quantized[kNumQuantizedTypes])(const PanelCall&);
  void (*floats[kNumFloatTypes])(const PanelCall&);
  // Quantises a row of x in blocks of 32 or 256 values, as matmul.h says.
  void (*quantize_row_32)(const float* x, int64_t in_dim, uint8_t* row);
  void (*quantize_row_256)(const float* x, int64_t in_dim, uint8_t* row);
  // out[r] = x · rows[r] in the float order, for rows `stride` floats apart.
  void (*dot_rows)(const float* x, const float* rows, int64_t stride, int64_t num_rows,
                   int64_t in_dim, float* out);
};

#define POTLUCK_CPU_TARGET(target) extern const ProductKernels ProductKernels_##target;
#include "kernels/targets.inc"
#undef POTLUCK_CPU_TARGET

}  // namespace potluck::kernels
