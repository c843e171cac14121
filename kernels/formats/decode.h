// From stored bytes to floats, and the check that bytes from a file hold only finite numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "kernels/dtype.h"
#include "kernels/formats/integer_block.h"
#include "kernels/weight.h"

namespace potluck::kernels {

// Decodes `values` values (a multiple of the type's block) of any weight type.
void DecodeRow(DType dtype, const std::byte* bytes, int64_t values, float* out);

// The values of one unpacked block.
void DecodeBlock(const IntegerTraits& traits, const IntegerBlock& block, float* out);

// The number of the first block (for floats: value) that is not finite, or that has a scale or
// offset that is not; nullopt where all are fine. `bytes` is a multiple of the type's block.
std::optional<int64_t> FindNonFinite(DType dtype, std::span<const std::byte> bytes);

// What every backend asks before it takes a weight: sizes that fit together, cols a multiple of the
// block, one part per expert, each of the right length. InvalidArgument, naming the weight.
absl::Status CheckWeightShape(const WeightData& data);
// InvalidArgument, naming weight, expert, row and column, where rows [first_row, first_row + count)
// of a part are not finite.
absl::Status CheckWeightRows(const WeightData& data, int64_t expert, int64_t first_row,
                             int64_t count);

}  // namespace potluck::kernels
