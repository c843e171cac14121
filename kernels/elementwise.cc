#include "kernels/elementwise.h"

namespace potluck::kernels {

absl::Status Validate(const GatedActivationArgs&) { return absl::OkStatus(); }
absl::Status Validate(const AddArgs&) { return absl::OkStatus(); }
absl::Status Validate(const ScaleArgs&) { return absl::OkStatus(); }
absl::Status Validate(const SoftCapArgs&) { return absl::OkStatus(); }
absl::Status Validate(const GatherRowsArgs&) { return absl::OkStatus(); }
absl::Status Validate(const ExpertRouteArgs&) { return absl::OkStatus(); }
absl::Status Validate(const ExpertCombineArgs&) { return absl::OkStatus(); }

}  // namespace potluck::kernels
