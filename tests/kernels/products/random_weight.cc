#include "tests/kernels/products/random_weight.h"

#include <cstring>

#include "kernels/dtype.h"
#include "kernels/formats/floats.h"

namespace potluck::kernels {

std::vector<int> HalfScaleOffsets(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kQ8_0:
    case DType::kIQ4_NL:
    case DType::kIQ4_XS:
      return {0};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108};
    case DType::kQ6_K:
      return {208};
    default:
      return {};
  }
}

std::vector<std::byte> RandomWeightBytes(DType dtype, int64_t values, std::mt19937& random) {
  std::vector<std::byte> bytes(BytesOf(dtype, values));
  std::normal_distribution<float> normal(0, 1);
  const auto put16 = [&](int64_t at, uint16_t value) { std::memcpy(&bytes[at], &value, 2); };
  if (dtype == DType::kF32) {
    for (int64_t i = 0; i < values; ++i) {
      const float value = normal(random);
      std::memcpy(&bytes[4 * i], &value, 4);
    }
    return bytes;
  }
  if (dtype == DType::kF16 || dtype == DType::kBF16) {
    for (int64_t i = 0; i < values; ++i) {
      const float value = i % 31 == 0 ? normal(random) * 1e-6f : normal(random);  // some denormal
      put16(2 * i, dtype == DType::kF16 ? HalfFromFloat(value)
                                        : static_cast<uint16_t>(BitsOfFloat(value) >> 16));
    }
    return bytes;
  }
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  const int block_bytes = Traits(dtype).block_bytes;
  for (int64_t at = 0; at < static_cast<int64_t>(bytes.size()); at += block_bytes) {
    if (dtype == DType::kMXFP4) bytes[at] = static_cast<std::byte>(120 + random() % 12);
    for (const int offset : HalfScaleOffsets(dtype)) {
      put16(at + offset, HalfFromFloat(normal(random) * 0.01f));
    }
  }
  return bytes;
}

RandomWeight::RandomWeight(DType dtype, int64_t rows, int64_t cols, std::mt19937& random,
                           int64_t num_experts) {
  data = {.name = "w." + std::string(Traits(dtype).name),
          .dtype = dtype,
          .num_experts = num_experts,
          .rows = rows,
          .cols = cols};
  for (int64_t e = 0; e < num_experts; ++e) {
    parts.push_back(RandomWeightBytes(dtype, rows * cols, random));
  }
  for (const auto& part : parts) data.parts.emplace_back(part);
}

}  // namespace potluck::kernels
