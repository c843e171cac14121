#include "model/graph/tensor_floats.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "kernels/formats/decode.h"

namespace potluck::model {

absl::StatusOr<std::vector<float>> FloatsOf(const WeightTensor& tensor) {
  const kernels::DTypeTraits& traits = kernels::Traits(tensor.dtype);
  if (traits.block_values != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", tensor.name, " is ", ToAbsl(traits.name),
                     "; gains, biases and tables are f32, f16 or bf16"));
  }
  std::vector<float> floats(tensor.bytes.size() / traits.block_bytes);
  kernels::DecodeRow(tensor.dtype, tensor.bytes.data(), static_cast<int64_t>(floats.size()),
                     floats.data());
  for (size_t i = 0; i < floats.size(); ++i) {
    if (!std::isfinite(floats[i])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", tensor.name, " holds a value that is not a number or infinite, at ", i,
          ": the file is damaged, fetch it again"));
    }
  }
  return floats;
}

}  // namespace potluck::model
