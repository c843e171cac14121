#include "kernels/formats/integer_block.h"

#include "common/check.h"
#include "kernels/formats/k_blocks.h"
#include "kernels/formats/legacy_blocks.h"
#include "kernels/formats/table_blocks.h"

namespace potluck::kernels {
namespace {

struct Row {
  DType dtype;
  IntegerTraits traits;
  UnpackFunction unpack;
};

template <typename Block>
void UnpackBytes(const std::byte* bytes, IntegerBlock& out) {
  Block block;
  std::memcpy(&block, bytes, sizeof(block));
  Unpack(block, out);
}

constexpr Row kRows[] = {
    {DType::kQ4_0, {32, 32, false, 8, nullptr}, &UnpackBytes<BlockQ4_0>},
    {DType::kQ4_1, {32, 32, true, 0, nullptr}, &UnpackBytes<BlockQ4_1>},
    {DType::kQ5_0, {32, 32, false, 16, nullptr}, &UnpackBytes<BlockQ5_0>},
    {DType::kQ5_1, {32, 32, true, 0, nullptr}, &UnpackBytes<BlockQ5_1>},
    {DType::kQ8_0, {32, 32, false, 128, nullptr}, &UnpackBytes<BlockQ8_0>},
    {DType::kQ2_K, {256, 16, true, 0, nullptr}, &UnpackBytes<BlockQ2_K>},
    {DType::kQ3_K, {256, 16, false, 4, nullptr}, &UnpackBytes<BlockQ3_K>},
    {DType::kQ4_K, {256, 32, true, 0, nullptr}, &UnpackBytes<BlockQ4_K>},
    {DType::kQ5_K, {256, 32, true, 0, nullptr}, &UnpackBytes<BlockQ5_K>},
    {DType::kQ6_K, {256, 16, false, 32, nullptr}, &UnpackBytes<BlockQ6_K>},
    {DType::kIQ4_NL, {32, 32, false, 0, kIq4Table}, &UnpackBytes<BlockIQ4_NL>},
    {DType::kIQ4_XS, {256, 32, false, 0, kIq4Table}, &UnpackBytes<BlockIQ4_XS>},
    {DType::kMXFP4, {32, 32, false, 0, kE2M1Table}, &UnpackBytes<BlockMXFP4>},
};

const Row& RowOf(DType dtype) {
  const int i = static_cast<int>(dtype) - static_cast<int>(DType::kQ4_0);
  POTLUCK_CHECK(i >= 0 && i < static_cast<int>(std::size(kRows)) && kRows[i].dtype == dtype);
  return kRows[i];
}

}  // namespace

const IntegerTraits& IntegerTraitsOf(DType dtype) { return RowOf(dtype).traits; }
UnpackFunction UnpackFunctionOf(DType dtype) { return RowOf(dtype).unpack; }

}  // namespace potluck::kernels
