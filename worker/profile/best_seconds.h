// Times something that is over too soon to be timed once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "kernels/backend.h"

namespace potluck::worker {

// The seconds of one call of many in a row, with one wait for the device after the last: twice as
// many, until they take `enough`, and that a few times; what takes several times `enough` counts as
// so many times, but two there are. The best counts: what takes longer was disturbed, or the first.
// At least kLeastSeconds, below which a clock tells nothing. `run` returns a Status; its error ends
// the timing.
template <typename Run>
absl::StatusOr<double> BestSeconds(kernels::Backend& backend, const Clock& clock,
                                   absl::Duration enough, const Run& run) {
  constexpr int kPasses = 5;
  constexpr int64_t kMostCalls = 1 << 14;
  constexpr double kLeastSeconds = 1e-9;
  double best = std::numeric_limits<double>::infinity();
  int64_t calls = 1;
  for (int passes = 0; passes < kPasses;) {
    const absl::Duration start = clock.SinceStart();
    for (int64_t i = 0; i < calls; ++i) POTLUCK_RETURN_IF_ERROR(run());
    POTLUCK_RETURN_IF_ERROR(backend.Fence());
    const absl::Duration took = clock.SinceStart() - start;
    best = std::min(
        best, std::max(kLeastSeconds, absl::ToDoubleSeconds(took) / static_cast<double>(calls)));
    if (took >= enough || calls >= kMostCalls) {
      passes += std::max(1, static_cast<int>(std::min<int64_t>(kPasses - 1, took / enough)));
    } else {
      calls *= 2;
    }
  }
  return best;
}

}  // namespace potluck::worker
