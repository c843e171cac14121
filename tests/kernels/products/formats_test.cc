// Stored numbers against values that others' decoders gave (tests/golden/tensor_types).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "common/files.h"
#include "common/text.h"
#include "kernels/formats/decode.h"
#include "kernels/formats/floats.h"
#include "kernels/formats/integer_block.h"

namespace potluck::kernels {
namespace {

const std::string kGoldens = std::string(POTLUCK_SOURCE_DIR) + "/tests/golden/tensor_types/";

TEST(Formats, EveryTypeDecodesToTheGoldenValues) {
  const auto index_text = ReadFile(kGoldens + "index.json", 1 << 20);
  ASSERT_TRUE(index_text.ok()) << index_text.status();
  const auto index = nlohmann::json::parse(*index_text, nullptr, false);
  int types = 0;
  for (const auto& entry : index["blocks"]) {
    const auto dtype = DTypeFromGguf(entry["ggml_type"]);
    ASSERT_TRUE(dtype.has_value()) << entry["type"];
    EXPECT_EQ(absl::AsciiStrToUpper(ToAbsl(Traits(*dtype).name)), entry["type"]);
    EXPECT_EQ(WeightDTypeNamed(Traits(*dtype).name), dtype);
    EXPECT_EQ(Traits(*dtype).block_values, entry["block_values"]);
    EXPECT_EQ(Traits(*dtype).block_bytes, entry["block_bytes"]);
    const auto blocks = ReadFile(kGoldens + std::string(entry["blocks"]), 16 << 20);
    const auto values = ReadFile(kGoldens + std::string(entry["values"]), 64 << 20);
    ASSERT_TRUE(blocks.ok() && values.ok());
    const int64_t count = values->size() / 4;
    ASSERT_EQ(BytesOf(*dtype, count), static_cast<int64_t>(blocks->size())) << entry["type"];
    std::vector<float> expected(count), actual(count);
    std::memcpy(expected.data(), values->data(), values->size());
    DecodeRow(*dtype, reinterpret_cast<const std::byte*>(blocks->data()), count, actual.data());
    for (int64_t i = 0; i < count; ++i) {
      if (std::isnan(expected[i]) && std::isnan(actual[i])) continue;
      ASSERT_EQ(actual[i], expected[i]) << entry["type"] << ", value " << i;
    }
    ++types;
  }
  EXPECT_EQ(types, kNumWeightDTypes);
}

TEST(Formats, HalvesConvertExactlyBothWays) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
    const double sign = bits & 0x8000 ? -1 : 1;
    const float value = FloatFromHalf(static_cast<uint16_t>(bits));
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(value), mantissa != 0);
      EXPECT_EQ(std::isinf(value), mantissa == 0);
      EXPECT_EQ(std::isnan(FloatFromHalf(HalfFromFloat(value))), mantissa != 0);
      continue;
    }
    const double expected = exponent == 0 ? sign * std::ldexp(mantissa, -24)
                                          : sign * std::ldexp(1024 + mantissa, exponent - 25);
    ASSERT_EQ(value, expected);
    ASSERT_EQ(std::signbit(value), sign < 0);
    ASSERT_EQ(HalfFromFloat(value), bits);
  }
}

// Half-way between neighbours goes to the even one, and a step to either side to the nearer.
TEST(Formats, FloatsRoundToTheNearestHalf) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = FloatFromHalf(static_cast<uint16_t>(bits));
    const float high = FloatFromHalf(static_cast<uint16_t>(bits + 1));
    const float middle = (low + high) / 2;
    ASSERT_EQ(HalfFromFloat(middle), bits + (bits & 1));
    ASSERT_EQ(HalfFromFloat(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(HalfFromFloat(std::nextafter(middle, 1e9f)), bits + 1);
    ASSERT_EQ(HalfFromFloat(-middle), 0x8000 | (bits + (bits & 1)));
  }
  EXPECT_EQ(HalfFromFloat(65519.996f), 0x7bff);
  EXPECT_EQ(HalfFromFloat(65520.0f), 0x7c00);
  EXPECT_EQ(HalfFromFloat(3e38f), 0x7c00);
  EXPECT_EQ(HalfFromFloat(1e-30f), 0);
}

TEST(Formats, NonFiniteBlocksAreFound) {
  for (const DTypeTraits& type : WeightDTypes()) {
    std::vector<std::byte> zeros(5 * type.block_bytes);
    EXPECT_FALSE(FindNonFinite(type.dtype, zeros).has_value()) << type.name;
    std::vector<std::byte> ones(5 * type.block_bytes, std::byte{0xff});
    EXPECT_EQ(FindNonFinite(type.dtype, ones), 0) << type.name;
  }
}

}  // namespace
}  // namespace potluck::kernels
