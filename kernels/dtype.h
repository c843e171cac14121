// The ways in which Potluck's tensors store numbers, and what each costs.
//
// Floats hold one value each; the other types hold blocks of values that share scales (their
// layouts stand in kernels/formats/). Source: GGUF (docs/formats.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace potluck::kernels {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  kI32,  // token and expert numbers inside a step; never a weight
};

inline constexpr int kNumWeightDTypes = 16;

struct DTypeTraits {
  DType dtype;
  std::string_view name;  // as people write it: "q4_0", "f16"
  uint32_t gguf_type;     // the tensor type's number in a GGUF file
  int block_values;       // values per block; a row is a whole number of blocks
  int block_bytes;
};

// One row per type that weights come in, in the enumeration's order.
std::span<const DTypeTraits> WeightDTypes();
const DTypeTraits& Traits(DType dtype);
// The weight type of that name, or of that GGUF number.
std::optional<DType> WeightDTypeNamed(std::string_view name);
std::optional<DType> DTypeFromGguf(uint32_t gguf_type);

// Bytes of `values` values, a multiple of the block.
inline int64_t BytesOf(DType dtype, int64_t values) {
  const DTypeTraits& traits = Traits(dtype);
  return values / traits.block_values * traits.block_bytes;
}

}  // namespace potluck::kernels
