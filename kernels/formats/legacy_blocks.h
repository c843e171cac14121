// GGUF's first block types: 32 values, an f16 scale, some with an f16 offset.
// Values 0..15 lie in the low nibbles, 16..31 in the high ones.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/formats/floats.h"
#include "kernels/formats/integer_block.h"

namespace potluck::kernels {

struct BlockQ4_0 {
  uint16_t d;
  uint8_t nibbles[16];
};

struct BlockQ4_1 {
  uint16_t d, m;
  uint8_t nibbles[16];
};

struct BlockQ5_0 {
  uint16_t d;
  uint8_t fifth_bits[4];  // bit k of the little-endian number belongs to value k
  uint8_t nibbles[16];
};

struct BlockQ5_1 {
  uint16_t d, m;
  uint8_t fifth_bits[4];
  uint8_t nibbles[16];
};

struct BlockQ8_0 {
  uint16_t d;
  int8_t codes[32];
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 &&
              sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34);

// 16 bytes to 32 indices.
inline void UnpackNibbles(const uint8_t* nibbles, uint8_t* index) {
  for (int i = 0; i < 16; ++i) {
    index[i] = nibbles[i] & 15;
    index[i + 16] = nibbles[i] >> 4;
  }
}

inline void UnpackFifthBits(const uint8_t* fifth_bits, uint8_t* index) {
  uint32_t bits;
  std::memcpy(&bits, fifth_bits, 4);
  for (int i = 0; i < 32; ++i) index[i] |= ((bits >> i) & 1) << 4;
}

inline void Unpack(const BlockQ4_0& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  out.sub_scale[0] = 1;
  UnpackNibbles(block.nibbles, out.index);
}

inline void Unpack(const BlockQ4_1& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  out.mw = FloatFromHalf(block.m);
  out.sub_scale[0] = out.sub_min[0] = 1;
  UnpackNibbles(block.nibbles, out.index);
}

inline void Unpack(const BlockQ5_0& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  out.sub_scale[0] = 1;
  UnpackNibbles(block.nibbles, out.index);
  UnpackFifthBits(block.fifth_bits, out.index);
}

inline void Unpack(const BlockQ5_1& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  out.mw = FloatFromHalf(block.m);
  out.sub_scale[0] = out.sub_min[0] = 1;
  UnpackNibbles(block.nibbles, out.index);
  UnpackFifthBits(block.fifth_bits, out.index);
}

inline void Unpack(const BlockQ8_0& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  out.sub_scale[0] = 1;
  for (int i = 0; i < 32; ++i) out.index[i] = static_cast<uint8_t>(block.codes[i] + 128);
}

}  // namespace potluck::kernels
