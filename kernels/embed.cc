#include "kernels/embed.h"

namespace potluck::kernels {

absl::Status Validate(const EmbedArgs&) { return absl::OkStatus(); }

}  // namespace potluck::kernels
