// How long to wait before the next try: twice as long each time, with jitter, so that a cluster's
// workers do not all come back in the same instant.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

#include "absl/time/time.h"

namespace potluck::worker {

class BackOff {
 public:
  inline static const absl::Duration kShortest = absl::Milliseconds(500);
  inline static const absl::Duration kLongest = absl::Seconds(10);

  explicit BackOff(uint64_t seed) : random_(seed) {}

  // Between half of the present wait and all of it.
  absl::Duration Next() {
    const absl::Duration wait = wait_;
    wait_ = std::min(kLongest, wait_ * 2);
    return wait * (0.5 + 0.5 * static_cast<double>(random_() >> 11) * 0x1p-53);
  }
  void Reset() { wait_ = kShortest; }

 private:
  std::mt19937_64 random_;
  absl::Duration wait_ = kShortest;
};

}  // namespace potluck::worker
