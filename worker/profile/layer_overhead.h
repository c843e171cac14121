// What each layer of a step costs beside reading and computing: the calls of its operations, and
// waking the threads, or the device, that share a product.
//
//   overhead = (t(9) - t(1)) / 8 + 4 (shared - small)
//
// t(n): a step of one token through n layers so small that computing is next to nothing, operation
// by operation as a decoder runs them. Of such a layer's 4 products none is worth sharing between
// threads, and a real layer's are: `shared` and `small` are what one more call costs at the same
// work, of products that are shared and of such that are not. They are found by running the same
// four products in four calls and in one.
// Source: ours.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "kernels/backend.h"

namespace potluck::worker {

struct LayerOverheadOptions {
  int64_t shared_bytes = int64_t{1}
                         << 20;  // of each of four products: worth sharing, and in caches
  absl::Duration enough = absl::Milliseconds(2);  // what is timed takes at least so long
};

// Not negative. 0 where the device lacks an operation of the small layers. Other errors are the
// backend's. The backend serves no stage: its limits become others.
absl::StatusOr<double> MeasureLayerOverhead(kernels::Backend& backend, const Clock& clock,
                                            const LayerOverheadOptions& options);

}  // namespace potluck::worker
