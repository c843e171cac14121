#include "model/generation/row_mean.h"

#include <cmath>

#include "absl/status/status.h"

namespace potluck::model {

void RowMean::Add(std::span<const float> rows) {
  for (; rows.size() >= sums_.size(); rows = rows.subspan(sums_.size())) {
    for (size_t i = 0; i < sums_.size(); ++i) sums_[i] += rows[i];
  }
}

// The number of rows goes out with the length.
absl::StatusOr<std::vector<float>> RowMean::Normalized() const {
  double squares = 0;
  for (const double sum : sums_) squares += sum * sum;
  if (!std::isfinite(squares))
    return absl::InternalError("the model computed numbers that are none: is its file damaged?");
  const double length = squares > 0 ? std::sqrt(squares) : 1;
  std::vector<float> vector;
  vector.reserve(sums_.size());
  for (const double sum : sums_) vector.push_back(static_cast<float>(sum / length));
  return vector;
}

}  // namespace potluck::model
