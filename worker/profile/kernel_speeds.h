// How fast a device is at what decoding and prefill consist of, by timing its own products.
//
// Decoding reads every weight once per token: its rate in a format is the lesser of how fast the
// device reads memory (measured once, with weights in f16, far more than caches hold) and how fast
// it works through weights of that format that lie in its caches. Prefill works on many tokens at
// once: operations per second, a multiply-add being two.
//
// Takes about a second, and Options::stream_bytes of memory meanwhile. Other programs that compute
// at the same time make the device look slower.
// Source: ours; the roofline of Williams et al. 2009.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "kernels/backend.h"
#include "wire/messages.h"

namespace potluck::worker {

struct KernelSpeeds {
  std::vector<wire::DeviceProfile::Rate>
      rates;                          // in the formats' order; only those it computes with
  double step_overhead_seconds = 0;   // from a call until its result, beyond computing
  double layer_overhead_seconds = 0;  // layer_overhead.h
  double load = 0;                    // of others meanwhile, 0 to 1, where who measures knows it
};

struct SpeedOptions {
  int64_t stream_bytes = int64_t{192} << 20;  // read from memory
  int64_t weight_bytes = int64_t{4} << 20;    // of each format, in caches
  int64_t prefill_tokens = 32;
  absl::Duration enough = absl::Milliseconds(2);  // what is timed takes at least so long
};

// Formats that the device lacks are left out. Errors are the backend's; Internal where it computes
// with none.
absl::StatusOr<KernelSpeeds> MeasureKernelSpeeds(kernels::Backend& backend, const Clock& clock,
                                                 const SpeedOptions& options);

}  // namespace potluck::worker
