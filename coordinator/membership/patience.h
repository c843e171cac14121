// How long a member may be silent before it is suspect, and then lost: as long as its link asks
// for.
//
// A link that carries heartbeats evenly keeps the shortest times. One that has paused for longer
// twice within a while will do so again: its member may be silent for a quarter more than the
// second longest of those pauses. Once is no jitter, but a machine that stood still.
#pragma once

#include <deque>

#include "absl/time/time.h"

namespace potluck::coordinator {

class Patience {
 public:
  static constexpr absl::Duration kSuspectAfter = absl::Seconds(2);
  static constexpr absl::Duration kLostAfter = absl::Seconds(3);
  // By then the worker has dialled anew, and TCP has given up a connection that carries nothing.
  static constexpr absl::Duration kLostAtMost = absl::Seconds(6);
  static constexpr absl::Duration kRemembered = absl::Minutes(5);

  // Nothing had come for `pause` until `now`, which never goes back.
  void Note(absl::Duration now, absl::Duration pause);

  absl::Duration suspect_after() const { return suspect_after_; }
  absl::Duration lost_after() const { return suspect_after_ + (kLostAfter - kSuspectAfter); }

 private:
  struct Pause {
    absl::Duration at, length;
  };
  std::deque<Pause> pauses_;  // those remembered that are long enough to matter
  absl::Duration suspect_after_ = kSuspectAfter;
};

}  // namespace potluck::coordinator
