// Block types whose 4-bit codes go through a table (code_tables.h): iq4_nl, iq4_xs, mxfp4.
#pragma once

#include <cstdint>

#include "kernels/formats/code_tables.h"
#include "kernels/formats/floats.h"
#include "kernels/formats/integer_block.h"
#include "kernels/formats/legacy_blocks.h"

namespace potluck::kernels {

struct BlockIQ4_NL {
  uint16_t d;
  uint8_t nibbles[16];
};

struct BlockIQ4_XS {
  uint16_t d;
  uint16_t scales_high;   // 2 bits for each of 8 sub-blocks
  uint8_t scales_low[4];  // 4 bits for each
  uint8_t nibbles[128];   // 16 bytes per sub-block
};

struct BlockMXFP4 {
  uint8_t exponent;  // E8M0; 255 is NaN
  uint8_t nibbles[16];
};

static_assert(sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136 && sizeof(BlockMXFP4) == 17);

inline void Unpack(const BlockIQ4_NL& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  out.sub_scale[0] = 1;
  UnpackNibbles(block.nibbles, out.index);
}

inline void Unpack(const BlockIQ4_XS& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  for (int j = 0; j < 8; ++j) {
    const int low = (block.scales_low[j / 2] >> (4 * (j % 2))) & 15;
    const int high = (block.scales_high >> (2 * j)) & 3;
    out.sub_scale[j] = static_cast<int8_t>((low | high << 4) - 32);
    UnpackNibbles(block.nibbles + 16 * j, out.index + 32 * j);
  }
}

// 2^(exponent - 128); the two lowest are denormal.
inline float ScaleFromE8M0(uint8_t exponent) {
  return exponent < 2 ? FloatFromBits(0x00200000u << exponent)
                      : FloatFromBits(static_cast<uint32_t>(exponent - 1) << 23);
}

inline void Unpack(const BlockMXFP4& block, IntegerBlock& out) {
  out.dw = ScaleFromE8M0(block.exponent);
  out.sub_scale[0] = 1;
  UnpackNibbles(block.nibbles, out.index);
}

}  // namespace potluck::kernels
