// Rows of a text after the last norm to its embedding: their mean, of length 1 (L2), as
// sentence-transformers and llama.cpp's server make it. Of one row, that row.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace potluck::model {

class RowMean {
 public:
  // Rows of `dim` numbers.
  explicit RowMean(int64_t dim) : sums_(static_cast<size_t>(dim), 0.0) {}

  // (N, dim), in the order of the text: added one after another, so that the result does not depend
  // on how the rows are cut.
  void Add(std::span<const float> rows);
  // Internal where a row has numbers that are none.
  absl::StatusOr<std::vector<float>> Normalized() const;

 private:
  std::vector<double> sums_;
};

}  // namespace potluck::model
