#include "kernels/matmul.h"

namespace potluck::kernels {

absl::Status Validate(const MatMulArgs&) { return absl::OkStatus(); }
absl::Status Validate(const ExpertMatMulArgs&) { return absl::OkStatus(); }

}  // namespace potluck::kernels
