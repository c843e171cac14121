// A request of somebody's that is being worked on.
#pragma once

#include "absl/status/status.h"

namespace potluck::coordinator {

class Ongoing {
 public:
  virtual ~Ongoing() = default;
  // Ends it with an error, if it has not ended.
  virtual void GiveUp(const absl::Status& why) = 0;
};

}  // namespace potluck::coordinator
