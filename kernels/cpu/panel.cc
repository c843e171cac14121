#include "kernels/cpu/panel.h"

#include <cstring>

#include "kernels/formats/decode.h"
#include "kernels/formats/floats.h"
#include "kernels/formats/integer_block.h"

namespace potluck::kernels {
namespace {

constexpr PanelFormat kFormats[] = {kPanelQ4_0,   kPanelQ4_1,   kPanelQ5_0, kPanelQ5_1, kPanelQ8_0,
                                    kPanelQ2_K,   kPanelQ3_K,   kPanelQ4_K, kPanelQ5_K, kPanelQ6_K,
                                    kPanelIQ4_NL, kPanelIQ4_XS, kPanelMXFP4};

const PanelFormat& FormatOf(DType dtype) {
  return kFormats[static_cast<int>(dtype) - static_cast<int>(DType::kQ4_0)];
}

// Four indices at a time: a row's bytes in a vector are one 32-bit word.
uint32_t LoadWord(const uint8_t* p) {
  uint32_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}
void StoreWord(uint8_t* p, uint32_t word) { std::memcpy(p, &word, sizeof(word)); }

constexpr uint32_t EachByte(uint32_t bits) { return bits * 0x01010101u; }

void PackChunk(const PanelFormat& f, const uint8_t* index, int row, uint8_t* chunk) {
  uint8_t* low = chunk + 4 * row;
  uint8_t* high = low + HighOffset(f);
  uint32_t high_words[2] = {};
  uint32_t low_words[8] = {};
  for (int g = 0; g < 8; ++g) {
    const uint32_t word = LoadWord(index + 4 * g);
    if (f.low_bits == 8) {
      low_words[g] = word ^ EachByte(0x80);
    } else if (f.low_bits == 4) {
      low_words[g % 4] |= (word & EachByte(15)) << (4 * (g / 4));
    } else {
      low_words[g / 4] |= (word & EachByte(3)) << (2 * (g % 4));
    }
    const uint32_t rest = f.low_bits == 8 ? 0 : word >> f.low_bits;
    if (f.high_bits == 1) high_words[0] |= (rest & EachByte(1)) << g;
    if (f.high_bits == 2) high_words[g / 4] |= (rest & EachByte(3)) << (2 * (g % 4));
  }
  for (int v = 0; v < f.low_bits; ++v) StoreWord(low + v * kPlaneBytes, low_words[v]);
  for (int v = 0; v < f.high_bits; ++v) StoreWord(high + v * kPlaneBytes, high_words[v]);
}

void UnpackChunk(const PanelFormat& f, const uint8_t* chunk, int row, uint8_t* index) {
  const uint8_t* low = chunk + 4 * row;
  const uint8_t* high = low + HighOffset(f);
  for (int g = 0; g < 8; ++g) {
    uint32_t word = 0;
    if (f.low_bits == 8) {
      word = LoadWord(low + g * kPlaneBytes) ^ EachByte(0x80);
    } else if (f.low_bits == 4) {
      word = (LoadWord(low + g % 4 * kPlaneBytes) >> (4 * (g / 4))) & EachByte(15);
    } else {
      word = (LoadWord(low + g / 4 * kPlaneBytes) >> (2 * (g % 4))) & EachByte(3);
    }
    if (f.high_bits == 1) word |= ((LoadWord(high) >> g) & EachByte(1)) << f.low_bits;
    if (f.high_bits == 2) {
      word |= ((LoadWord(high + g / 4 * kPlaneBytes) >> (2 * (g % 4))) & EachByte(3)) << f.low_bits;
    }
    StoreWord(index + 4 * g, word);
  }
}

void StoreU16(uint8_t* p, uint16_t value) { std::memcpy(p, &value, sizeof(value)); }
uint16_t LoadU16(const uint8_t* p) {
  uint16_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

// All scales came from 16 bits, so they go back without loss.
void PackBlock(const PanelFormat& f, const IntegerBlock& block, int row, uint8_t* out) {
  StoreU16(out + 2 * row, f.brain_dw ? static_cast<uint16_t>(BitsOfFloat(block.dw) >> 16)
                                     : HalfFromFloat(block.dw));
  if (f.has_min) StoreU16(out + MinOffset(f) + 2 * row, HalfFromFloat(block.mw));
  const int chunks = f.values / kChunkValues;
  for (int j = 0; j < chunks * f.subs; ++j) {
    uint8_t& scale = out[SubScaleOffset(f) + j * kPanelRows + row];
    scale = static_cast<uint8_t>(block.sub_scale[j]);
    if (f.packed_min) {
      scale |= block.sub_min[j] << 4;
    } else if (f.has_min) {
      out[SubMinOffset(f) + j * kPanelRows + row] = block.sub_min[j];
    }
  }
  for (int c = 0; c < chunks; ++c) {
    PackChunk(f, block.index + c * kChunkValues, row, out + ChunkOffset(f) + c * ChunkBytes(f));
  }
}

void UnpackBlock(const PanelFormat& f, const uint8_t* in, int row, IntegerBlock& block) {
  const uint16_t dw = LoadU16(in + 2 * row);
  block.dw = f.brain_dw ? FloatFromBrain(dw) : FloatFromHalf(dw);
  if (f.has_min) block.mw = FloatFromHalf(LoadU16(in + MinOffset(f) + 2 * row));
  const int chunks = f.values / kChunkValues;
  if (f.subs == 0) block.sub_scale[0] = block.sub_min[0] = 1;
  for (int j = 0; j < chunks * f.subs; ++j) {
    const uint8_t scale = in[SubScaleOffset(f) + j * kPanelRows + row];
    block.sub_scale[j] = static_cast<int8_t>(f.packed_min ? scale & 15 : scale);
    if (!f.has_min) continue;
    block.sub_min[j] = f.packed_min ? scale >> 4 : in[SubMinOffset(f) + j * kPanelRows + row];
  }
  for (int c = 0; c < chunks; ++c) {
    UnpackChunk(f, in + ChunkOffset(f) + c * ChunkBytes(f), row, block.index + c * kChunkValues);
  }
}

template <typename Bits>
void PackFloats(const std::byte* rows, int num_rows, int64_t cols, uint8_t* panel) {
  constexpr int64_t kStrip = 16;  // columns at a time, so that each line of memory is met once
  for (int64_t begin = 0; begin < cols; begin += kStrip) {
    const int64_t end = begin + kStrip < cols ? begin + kStrip : cols;
    for (int r = 0; r < num_rows; ++r) {
      for (int64_t k = begin; k < end; ++k) {
        std::memcpy(panel + (k * kPanelRows + r) * sizeof(Bits),
                    rows + (r * cols + k) * sizeof(Bits), sizeof(Bits));
      }
    }
  }
}

}  // namespace

int64_t PanelBlockBytesOf(DType dtype) {
  if (IsQuantized(dtype)) return PanelBlockBytes(FormatOf(dtype));
  return kPanelRows * Traits(dtype).block_bytes;
}

int64_t PanelBytes(DType dtype, int64_t cols) {
  return cols / Traits(dtype).block_values * PanelBlockBytesOf(dtype);
}

void PackPanel(DType dtype, const std::byte* rows, int num_rows, int64_t cols, uint8_t* panel) {
  if (dtype == DType::kF32) return PackFloats<uint32_t>(rows, num_rows, cols, panel);
  if (!IsQuantized(dtype)) return PackFloats<uint16_t>(rows, num_rows, cols, panel);
  const PanelFormat& f = FormatOf(dtype);
  const UnpackFunction unpack = UnpackFunctionOf(dtype);
  const int block_bytes = Traits(dtype).block_bytes;
  const int64_t num_blocks = cols / f.values;
  IntegerBlock block;
  for (int64_t b = 0; b < num_blocks; ++b) {
    for (int r = 0; r < num_rows; ++r) {
      unpack(rows + (r * num_blocks + b) * block_bytes, block);
      PackBlock(f, block, r, panel + b * PanelBlockBytes(f));
    }
  }
}

void DecodePanelRow(DType dtype, const uint8_t* panel, int row, int64_t cols, float* out) {
  if (!IsQuantized(dtype)) {
    const int bytes = Traits(dtype).block_bytes;
    for (int64_t k = 0; k < cols; ++k) {
      const uint8_t* value = panel + (k * kPanelRows + row) * bytes;
      DecodeRow(dtype, reinterpret_cast<const std::byte*>(value), 1, out + k);
    }
    return;
  }
  const PanelFormat& f = FormatOf(dtype);
  IntegerBlock block;
  for (int64_t b = 0; b < cols / f.values; ++b) {
    UnpackBlock(f, panel + b * PanelBlockBytes(f), row, block);
    DecodeBlock(IntegerTraitsOf(dtype), block, out + b * f.values);
  }
}

void DecodePanelBlock(DType dtype, const uint8_t* block, float* out) {
  const PanelFormat& f = FormatOf(dtype);
  IntegerBlock unpacked;
  float values[kMaxBlockValues];
  for (int row = 0; row < kPanelRows; ++row) {
    UnpackBlock(f, block, row, unpacked);
    DecodeBlock(IntegerTraitsOf(dtype), unpacked, values);
    for (int k = 0; k < f.values; ++k) out[k * kPanelRows + row] = values[k];
  }
}

}  // namespace potluck::kernels
