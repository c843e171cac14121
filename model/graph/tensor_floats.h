// A small tensor of a model file (a gain, a bias, a table) as floats.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "model/weights.h"

namespace potluck::model {

// InvalidArgument, naming the tensor, for block types and for NaN or infinite values.
absl::StatusOr<std::vector<float>> FloatsOf(const WeightTensor& tensor);

}  // namespace potluck::model
