#include "kernels/formats/decode.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "kernels/formats/floats.h"
#include "kernels/formats/integer_block.h"
#include "kernels/formats/k_blocks.h"
#include "kernels/formats/table_blocks.h"

namespace potluck::kernels {
namespace {

uint16_t LoadU16(const std::byte* bytes) {
  uint16_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

bool HalfIsFinite(uint16_t half) { return (half & 0x7c00) != 0x7c00; }

// Bytes from a block's start to its f16 scale, and to its f16 offset (-1: none).
struct ScalePlaces {
  int scale;
  int offset;
};

ScalePlaces ScalePlacesOf(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin)};
    case DType::kQ3_K:
      return {offsetof(BlockQ3_K, d), -1};
    case DType::kQ6_K:
      return {offsetof(BlockQ6_K, d), -1};
    default:
      return {0, -1};
  }
}

bool BlockIsFinite(DType dtype, ScalePlaces places, const std::byte* block) {
  switch (dtype) {
    case DType::kF32: {
      uint32_t bits;
      std::memcpy(&bits, block, sizeof(bits));
      return (bits & 0x7f800000) != 0x7f800000;
    }
    case DType::kBF16:
      return (LoadU16(block) & 0x7f80) != 0x7f80;
    case DType::kF16:
      return HalfIsFinite(LoadU16(block));
    case DType::kMXFP4:
      // From 2^125 on, a code of 6 is beyond what f32 holds; 255 is NaN.
      return static_cast<uint8_t>(block[0]) < 253;
    default:
      return HalfIsFinite(LoadU16(block + places.scale)) &&
             (places.offset < 0 || HalfIsFinite(LoadU16(block + places.offset)));
  }
}

}  // namespace

void DecodeBlock(const IntegerTraits& traits, const IntegerBlock& block, float* out) {
  for (int k = 0; k < traits.values; ++k) {
    const int j = k / traits.sub_values;
    const float scaled =
        block.dw * static_cast<float>(block.sub_scale[j] * traits.Code(block.index[k]));
    out[k] = traits.has_min ? scaled + block.mw * static_cast<float>(block.sub_min[j]) : scaled;
  }
}

void DecodeRow(DType dtype, const std::byte* bytes, int64_t values, float* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, bytes, values * sizeof(float));
      break;
    case DType::kF16:
      for (int64_t i = 0; i < values; ++i) out[i] = FloatFromHalf(LoadU16(bytes + 2 * i));
      break;
    case DType::kBF16:
      for (int64_t i = 0; i < values; ++i) out[i] = FloatFromBrain(LoadU16(bytes + 2 * i));
      break;
    default: {
      const IntegerTraits& traits = IntegerTraitsOf(dtype);
      IntegerBlock block;
      for (int64_t b = 0; b < values / traits.values; ++b) {
        UnpackFunctionOf(dtype)(bytes + b * Traits(dtype).block_bytes, block);
        DecodeBlock(traits, block, out + b * traits.values);
      }
    }
  }
}

std::optional<int64_t> FindNonFinite(DType dtype, std::span<const std::byte> bytes) {
  const int block_bytes = Traits(dtype).block_bytes;
  const ScalePlaces places = ScalePlacesOf(dtype);
  const int64_t num_blocks = static_cast<int64_t>(bytes.size()) / block_bytes;
  for (int64_t b = 0; b < num_blocks; ++b) {
    if (!BlockIsFinite(dtype, places, bytes.data() + b * block_bytes)) return b;
  }
  return std::nullopt;
}

absl::Status CheckWeightShape(const WeightData& data) {
  const auto error = [&](auto... text) {
    return absl::InvalidArgumentError(absl::StrCat("weight ", Printable(data.name), ": ", text...));
  };
  const DTypeTraits& traits = Traits(data.dtype);
  if (static_cast<int>(data.dtype) >= kNumWeightDTypes) {
    return error(ToAbsl(traits.name), " is no type of a weight");
  }
  if (data.num_experts < 1 || data.rows < 1 || data.cols < 1) {
    return error("empty (", data.num_experts, " x ", data.rows, " x ", data.cols, ")");
  }
  if (data.cols % traits.block_values != 0) {
    return error(data.cols, " columns are no multiple of the ", traits.block_values,
                 " values in a block of ", ToAbsl(traits.name));
  }
  int64_t row_bytes = 0, bytes = 0;
  if (__builtin_mul_overflow(data.cols / traits.block_values, traits.block_bytes, &row_bytes) ||
      __builtin_mul_overflow(data.rows, row_bytes, &bytes)) {
    return error("impossibly large");
  }
  if (static_cast<int64_t>(data.parts.size()) != data.num_experts) {
    return error(data.parts.size(), " parts for ", data.num_experts, " experts");
  }
  for (const auto part : data.parts) {
    if (static_cast<int64_t>(part.size()) != bytes) {
      return error(part.size(), " bytes where ", bytes, " are due for (", data.rows, ", ",
                   data.cols, ") in ", ToAbsl(traits.name));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckWeightRows(const WeightData& data, int64_t expert, int64_t first_row,
                             int64_t count) {
  const int64_t row_bytes = BytesOf(data.dtype, data.cols);
  const auto bad = FindNonFinite(
      data.dtype, data.parts[expert].subspan(first_row * row_bytes, count * row_bytes));
  if (!bad.has_value()) return absl::OkStatus();
  const int64_t value = *bad * Traits(data.dtype).block_values;
  return absl::InvalidArgumentError(
      absl::StrCat("weight ", Printable(data.name), ": NaN or infinite at row ",
                   first_row + value / data.cols, ", column ", value % data.cols,
                   data.num_experts > 1 ? absl::StrCat(" of expert ", expert) : "",
                   "; the file is damaged, fetch it again"));
}

}  // namespace potluck::kernels
