// How fast tokens come, for people: over the last seconds.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/time/time.h"

namespace potluck::coordinator {

class TokenRate {
 public:
  static constexpr int64_t kSeconds = 10;

  void Note(absl::Duration now, int64_t tokens) {
    const int64_t second = absl::ToInt64Seconds(now);
    Second& entry = seconds_[second % kSeconds];
    if (entry.second != second) entry = {.second = second};
    entry.tokens += tokens;
  }

  // Since the first token of the last kSeconds; 0 where none came.
  double PerSecond(absl::Duration now) const {
    const int64_t this_second = absl::ToInt64Seconds(now);
    int64_t first = this_second, tokens = 0;
    for (const Second& entry : seconds_) {
      if (entry.tokens == 0 || entry.second <= this_second - kSeconds) continue;
      first = std::min(first, entry.second);
      tokens += entry.tokens;
    }
    return static_cast<double>(tokens) /
           std::max(1.0, absl::ToDoubleSeconds(now - absl::Seconds(first)));
  }

 private:
  struct Second {
    int64_t second = 0;  // of the clock
    int64_t tokens = 0;
  };
  std::array<Second, kSeconds> seconds_;  // a ring
};

}  // namespace potluck::coordinator
