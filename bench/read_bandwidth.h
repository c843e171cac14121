// The rate at which this machine's threads read memory together: the ceiling of decoding.
#pragma once

#include "absl/status/statusor.h"

namespace potluck::bench {

// Bytes per second of `num_threads` (>= 1) threads that sum up a buffer much larger than any cache;
// the best of several passes. Takes about half a second and 512 MiB, less where little is free.
absl::StatusOr<double> MeasureReadBandwidth(int num_threads);

}  // namespace potluck::bench
