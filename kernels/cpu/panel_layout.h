// The layout in which the CPU holds weights: panels of 16 output rows, so that each vector lane
// works for an output of its own and no sum ever runs across lanes. One layout serves every
// instruction set. For CPUs of today it takes at most 6% more than the file's bytes.
//
// A panel of floats is (K, 16) values. A panel of a quantised type is a sequence of panel blocks
// along K; a panel block holds one block of each of the 16 rows:
//
//   dw          16 x 2 bytes: f16 (mxfp4: bf16)
//   mw          16 x 2 bytes: f16, with matmul.h's sign, where the type has a minimum
//   sub_scale   (sub-blocks, 16) i8, where the type has them. q2_k: sub_min in the high nibbles
//   sub_min     (sub-blocks, 16) u8, where the type has them and is not q2_k
//   chunks      32 values of each row, 1 or 8 of them
//
// A chunk is made of vectors of 64 bytes; byte 4 * row + k % 4 of a vector belongs to that row.
// With g = k / 4, the group of 4 values within the chunk (0..7), the index (integer_block.h) is in
//
//   8 bits      vector g: index ^ 128, the signed code itself
//   low 4 bits  vector g % 4, nibble g / 4
//   low 2 bits  vector g / 4, bits 2 * (g % 4) and up
//   then        1 high bit:  one vector, bit g
//               2 high bits: vector g / 4, bits 2 * (g % 4) and up
//
// Rows beyond the last and their scales are zero. Plain static functions: the files of one
// instruction set include this header (see product_kernels.h).
#pragma once

#include <stdint.h>

namespace potluck::kernels {

enum { kPanelRows = 16, kChunkValues = 32, kPlaneBytes = 64 };

enum CodeTable { kNoTable, kTableIq4, kTableE2M1 };

struct PanelFormat {
  int values;       // per block: 32 or 256
  int low_bits;     // 8, 4 or 2
  int high_bits;    // 0, 1 or 2
  int subs;         // sub-scales per chunk: 0, 1 or 2
  bool has_min;     // mw
  bool packed_min;  // sub_min shares a byte with sub_scale
  bool brain_dw;    // dw is bf16
  int code_offset;  // code = index - code_offset
  CodeTable table;
};

static constexpr PanelFormat kPanelQ4_0 = {32, 4, 0, 0, false, false, false, 8, kNoTable};
static constexpr PanelFormat kPanelQ4_1 = {32, 4, 0, 0, true, false, false, 0, kNoTable};
static constexpr PanelFormat kPanelQ5_0 = {32, 4, 1, 0, false, false, false, 16, kNoTable};
static constexpr PanelFormat kPanelQ5_1 = {32, 4, 1, 0, true, false, false, 0, kNoTable};
static constexpr PanelFormat kPanelQ8_0 = {32, 8, 0, 0, false, false, false, 0, kNoTable};
static constexpr PanelFormat kPanelQ2_K = {256, 2, 0, 2, true, true, false, 0, kNoTable};
static constexpr PanelFormat kPanelQ3_K = {256, 2, 1, 2, false, false, false, 4, kNoTable};
static constexpr PanelFormat kPanelQ4_K = {256, 4, 0, 1, true, false, false, 0, kNoTable};
static constexpr PanelFormat kPanelQ5_K = {256, 4, 1, 1, true, false, false, 0, kNoTable};
static constexpr PanelFormat kPanelQ6_K = {256, 4, 2, 2, false, false, false, 32, kNoTable};
static constexpr PanelFormat kPanelIQ4_NL = {32, 4, 0, 0, false, false, false, 0, kTableIq4};
static constexpr PanelFormat kPanelIQ4_XS = {256, 4, 0, 1, false, false, false, 0, kTableIq4};
static constexpr PanelFormat kPanelMXFP4 = {32, 4, 0, 0, false, false, true, 0, kTableE2M1};

// Where the parts of a panel block begin, in bytes.
static constexpr int MinOffset(const PanelFormat&) { return 2 * kPanelRows; }
static constexpr int SubScaleOffset(const PanelFormat& f) {
  return MinOffset(f) + (f.has_min ? 2 * kPanelRows : 0);
}
static constexpr int SubScaleBytes(const PanelFormat& f) {
  return f.values / kChunkValues * f.subs * kPanelRows;
}
static constexpr int SubMinOffset(const PanelFormat& f) {
  return f.packed_min ? SubScaleOffset(f) : SubScaleOffset(f) + SubScaleBytes(f);
}
static constexpr int ChunkOffset(const PanelFormat& f) {
  return SubMinOffset(f) + (f.has_min || f.packed_min ? SubScaleBytes(f) : 0);
}
static constexpr int HighOffset(const PanelFormat& f) { return f.low_bits * kPlaneBytes; }
static constexpr int ChunkBytes(const PanelFormat& f) {
  return (f.low_bits + f.high_bits) * kPlaneBytes;
}
static constexpr int PanelBlockBytes(const PanelFormat& f) {
  return ChunkOffset(f) + f.values / kChunkValues * ChunkBytes(f);
}

static_assert(PanelBlockBytes(kPanelQ4_0) == 16 * 18 && PanelBlockBytes(kPanelQ5_1) == 16 * 24 &&
              PanelBlockBytes(kPanelQ8_0) == 16 * 34 && PanelBlockBytes(kPanelQ2_K) == 16 * 84 &&
              PanelBlockBytes(kPanelQ4_K) == 16 * 148 && PanelBlockBytes(kPanelQ6_K) == 16 * 210);

// A row of x, quantised for products with types of 32 or of 256 values per block:
//   codes   K x i8
//   d       K / values x f32
//   sums    per block of 32: the sum of its codes, i32. Per block of 256: sums of 16 codes each
//           (16 x i16), then of 32 codes each (8 x i16).
static constexpr int SumBytes(int values) { return values == 32 ? 4 : 48; }
static inline int64_t RowScaleOffset(int64_t in_dim) { return in_dim; }
static inline int64_t RowSumOffset(int64_t in_dim, int values) {
  return in_dim + in_dim / values * 4;
}
static inline int64_t QuantizedRowBytes(int64_t in_dim, int values) {
  return (RowSumOffset(in_dim, values) + in_dim / values * SumBytes(values) + 63) / 64 * 64;
}

}  // namespace potluck::kernels
