#include "kernels/attention.h"

namespace potluck::kernels {

absl::Status Validate(const KvWriteArgs&) { return absl::OkStatus(); }
absl::Status Validate(const AttentionArgs&) { return absl::OkStatus(); }

}  // namespace potluck::kernels
