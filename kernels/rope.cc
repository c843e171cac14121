#include "kernels/rope.h"

namespace potluck::kernels {

absl::Status Validate(const RopeArgs&) { return absl::OkStatus(); }

}  // namespace potluck::kernels
