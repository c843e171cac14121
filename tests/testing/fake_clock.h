// A clock that moves when a test says so.
#pragma once

#include "common/clock.h"

namespace potluck {

class FakeClock final : public Clock {
 public:
  absl::Duration SinceStart() const override { return now_; }
  void Advance(absl::Duration by) { now_ += by; }

 private:
  absl::Duration now_;
};

}  // namespace potluck
