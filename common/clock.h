// Time as something that is handed in: programs give the system's, tests one that they move.
#pragma once

#include "absl/time/time.h"

namespace potluck {

class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes back; only differences mean something.
  virtual absl::Duration SinceStart() const = 0;
};

}  // namespace potluck
