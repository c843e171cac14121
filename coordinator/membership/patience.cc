#include "coordinator/membership/patience.h"

#include <algorithm>

namespace potluck::coordinator {

void Patience::Note(absl::Duration now, absl::Duration pause) {
  while (!pauses_.empty() && now - pauses_.front().at > kRemembered) pauses_.pop_front();
  if (pause * 5 / 4 > kSuspectAfter) pauses_.push_back({now, pause});
  absl::Duration longest, second;
  for (const Pause& one : pauses_) {
    second = std::max(second, std::min(one.length, longest));
    longest = std::max(longest, one.length);
  }
  const absl::Duration most = kLostAtMost - (kLostAfter - kSuspectAfter);
  suspect_after_ = std::clamp(second * 5 / 4, kSuspectAfter, most);
}

}  // namespace potluck::coordinator
