#include "kernels/dtype.h"

namespace potluck::kernels {
namespace {

constexpr DTypeTraits kTraits[] = {
    {DType::kF32, "f32", 0, 1, 4},
    {DType::kF16, "f16", 1, 1, 2},
    {DType::kBF16, "bf16", 30, 1, 2},
    {DType::kQ4_0, "q4_0", 2, 32, 18},
    {DType::kQ4_1, "q4_1", 3, 32, 20},
    {DType::kQ5_0, "q5_0", 6, 32, 22},
    {DType::kQ5_1, "q5_1", 7, 32, 24},
    {DType::kQ8_0, "q8_0", 8, 32, 34},
    {DType::kQ2_K, "q2_k", 10, 256, 84},
    {DType::kQ3_K, "q3_k", 11, 256, 110},
    {DType::kQ4_K, "q4_k", 12, 256, 144},
    {DType::kQ5_K, "q5_k", 13, 256, 176},
    {DType::kQ6_K, "q6_k", 14, 256, 210},
    {DType::kIQ4_NL, "iq4_nl", 20, 32, 18},
    {DType::kIQ4_XS, "iq4_xs", 23, 256, 136},
    {DType::kMXFP4, "mxfp4", 39, 32, 17},
    {DType::kI32, "i32", 26, 1, 4},
};

}  // namespace

std::span<const DTypeTraits> WeightDTypes() { return {kTraits, kNumWeightDTypes}; }

const DTypeTraits& Traits(DType dtype) { return kTraits[static_cast<int>(dtype)]; }

std::optional<DType> WeightDTypeNamed(std::string_view name) {
  for (const DTypeTraits& traits : WeightDTypes()) {
    if (traits.name == name) return traits.dtype;
  }
  return std::nullopt;
}

std::optional<DType> DTypeFromGguf(uint32_t gguf_type) {
  for (const DTypeTraits& traits : WeightDTypes()) {
    if (traits.gguf_type == gguf_type) return traits.dtype;
  }
  return std::nullopt;
}

}  // namespace potluck::kernels
