// GGUF's k types: 256 values in sub-blocks of 16 or 32 with small integer scales and minima.
#pragma once

#include <cstdint>

#include "kernels/formats/floats.h"
#include "kernels/formats/integer_block.h"

namespace potluck::kernels {

struct BlockQ2_K {
  uint8_t scales[16];  // scale in the low nibble, minimum in the high one
  uint8_t pairs[64];   // 2 bits per value
  uint16_t d, dmin;
};

struct BlockQ3_K {
  uint8_t third_bits[32];
  uint8_t pairs[64];
  uint8_t scales[12];  // 6 bits for each of 16 sub-blocks
  uint16_t d;
};

struct BlockQ4_K {
  uint16_t d, dmin;
  uint8_t scales[12];  // 6 bits of scale and 6 of minimum for each of 8 sub-blocks
  uint8_t nibbles[128];
};

struct BlockQ5_K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t fifth_bits[32];
  uint8_t nibbles[128];
};

struct BlockQ6_K {
  uint8_t nibbles[128];
  uint8_t high_pairs[64];
  int8_t scales[16];
  uint16_t d;
};

static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144 &&
              sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

// Each half of the block (128 values) has 32 bytes; sub-block pair s of it lies at bits 2s.
inline void UnpackPairs(const uint8_t* pairs, uint8_t* index) {
  for (int half = 0; half < 2; ++half) {
    for (int s = 0; s < 4; ++s) {
      for (int l = 0; l < 32; ++l) {
        index[128 * half + 32 * s + l] = (pairs[32 * half + l] >> (2 * s)) & 3;
      }
    }
  }
}

inline void Unpack(const BlockQ2_K& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  out.mw = -FloatFromHalf(block.dmin);
  for (int j = 0; j < 16; ++j) {
    out.sub_scale[j] = block.scales[j] & 15;
    out.sub_min[j] = block.scales[j] >> 4;
  }
  UnpackPairs(block.pairs, out.index);
}

inline void Unpack(const BlockQ3_K& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  for (int j = 0; j < 16; ++j) {
    const int low = (block.scales[j % 8] >> (4 * (j / 8))) & 15;
    const int high = (block.scales[8 + j % 4] >> (2 * (j / 4))) & 3;
    out.sub_scale[j] = static_cast<int8_t>((low | high << 4) - 32);
  }
  UnpackPairs(block.pairs, out.index);
  for (int group = 0; group < 8; ++group) {
    for (int l = 0; l < 32; ++l) {
      out.index[32 * group + l] |= ((block.third_bits[l] >> group) & 1) << 2;
    }
  }
}

inline void UnpackScalesAndMinima(const uint8_t* scales, IntegerBlock& out) {
  for (int j = 0; j < 4; ++j) {
    out.sub_scale[j] = scales[j] & 63;
    out.sub_min[j] = scales[j + 4] & 63;
    out.sub_scale[j + 4] = static_cast<int8_t>((scales[j + 8] & 15) | (scales[j] >> 6) << 4);
    out.sub_min[j + 4] = static_cast<uint8_t>((scales[j + 8] >> 4) | (scales[j + 4] >> 6) << 4);
  }
}

// 32 bytes hold two sub-blocks: the low nibbles, then the high ones.
inline void UnpackNibbles64(const uint8_t* nibbles, uint8_t* index) {
  for (int l = 0; l < 32; ++l) {
    index[l] = nibbles[l] & 15;
    index[l + 32] = nibbles[l] >> 4;
  }
}

inline void Unpack(const BlockQ4_K& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  out.mw = -FloatFromHalf(block.dmin);
  UnpackScalesAndMinima(block.scales, out);
  for (int i = 0; i < 4; ++i) UnpackNibbles64(block.nibbles + 32 * i, out.index + 64 * i);
}

inline void Unpack(const BlockQ5_K& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  out.mw = -FloatFromHalf(block.dmin);
  UnpackScalesAndMinima(block.scales, out);
  for (int i = 0; i < 4; ++i) UnpackNibbles64(block.nibbles + 32 * i, out.index + 64 * i);
  for (int group = 0; group < 8; ++group) {
    for (int l = 0; l < 32; ++l) {
      out.index[32 * group + l] |= ((block.fifth_bits[l] >> group) & 1) << 4;
    }
  }
}

inline void Unpack(const BlockQ6_K& block, IntegerBlock& out) {
  out.dw = FloatFromHalf(block.d);
  for (int j = 0; j < 16; ++j) out.sub_scale[j] = block.scales[j];
  for (int half = 0; half < 2; ++half) {
    const uint8_t* nibbles = block.nibbles + 64 * half;
    const uint8_t* high = block.high_pairs + 32 * half;
    uint8_t* index = out.index + 128 * half;
    for (int l = 0; l < 32; ++l) {
      index[l] = (nibbles[l] & 15) | (high[l] & 3) << 4;
      index[l + 32] = (nibbles[l + 32] & 15) | ((high[l] >> 2) & 3) << 4;
      index[l + 64] = (nibbles[l] >> 4) | ((high[l] >> 4) & 3) << 4;
      index[l + 96] = (nibbles[l + 32] >> 4) | ((high[l] >> 6) & 3) << 4;
    }
  }
}

}  // namespace potluck::kernels
