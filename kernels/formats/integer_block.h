// The one view that products, decoding and repacking have of every quantised type:
//
//   value[k] = dw * sub_scale[j] * code[k] + mw * sub_min[j],   j = k / sub_values
//
// with code = code_table[index[k]], or index[k] - code_offset where there is no table. Codes,
// sub-scales and sub-minima are small integers; dw and mw are exact in f32, and so is every
// product of two of the factors, so that a value has one rounding, whatever the order. matmul.h
// builds its exact integer sums of code and sub_scale, and of sub_min.
//
//   type     values  sub_values  index                code           dw         mw
//   q4_0       32       32       4 bits               index - 8      d
//   q4_1       32       32       4 bits               index          d          m
//   q5_0       32       32       5 bits               index - 16     d
//   q5_1       32       32       5 bits               index          d          m
//   q8_0       32       32       the byte + 128       index - 128    d
//   iq4_nl     32       32       4 bits               table          d
//   mxfp4      32       32       4 bits               table, 2x      2^(e-128)
//   q2_k      256       16       2 bits               index          d          -dmin
//   q3_k      256       16       3 bits               index - 4      d
//   q4_k      256       32       4 bits               index          d          -dmin
//   q5_k      256       32       5 bits               index          d          -dmin
//   q6_k      256       16       6 bits               index - 32     d
//   iq4_xs    256       32       4 bits               table          d
//
// Where a type has no sub-scales they are 1; where it has an offset m but no sub-minima they are 1.
// Source: GGUF block layouts (docs/formats.md), each checked against the gguf Python package.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"

namespace potluck::kernels {

inline constexpr int kMaxBlockValues = 256;
inline constexpr int kMaxSubBlocks = 16;

struct IntegerBlock {
  float dw = 0;
  float mw = 0;
  int8_t sub_scale[kMaxSubBlocks] = {};
  uint8_t sub_min[kMaxSubBlocks] = {};
  uint8_t index[kMaxBlockValues] = {};
};

struct IntegerTraits {
  int values;      // per block: 32 or 256; activations are quantised in blocks of as many
  int sub_values;  // per sub-scale: 32 or 16
  bool has_min;    // whether mw and sub_min count
  int code_offset;
  const int8_t* code_table;  // 16 entries; null: code = index - code_offset

  int Code(int index) const { return code_table ? code_table[index] : index - code_offset; }
};

inline bool IsQuantized(DType dtype) { return Traits(dtype).block_values > 1; }

// Of a quantised type.
const IntegerTraits& IntegerTraitsOf(DType dtype);

// Reads one block of a quantised type. `out` needs no clearing.
using UnpackFunction = void (*)(const std::byte* block, IntegerBlock& out);
UnpackFunction UnpackFunctionOf(DType dtype);

}  // namespace potluck::kernels
