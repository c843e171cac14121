#include "kernels/rope.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "kernels/view_checks.h"

namespace potluck::kernels {

absl::Status Validate(const RopeArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckView(args.x, "rope's x", DType::kF32, {-1, -1, -1}));
  POTLUCK_RETURN_IF_ERROR(CheckView(args.inv_freq, "rope's inv_freq", DType::kF32, {-1}));
  const int64_t dims = 2 * args.inv_freq.shape[0];
  if (dims > args.x.shape[2]) {
    return absl::InvalidArgumentError(
        absl::StrCat("rope turns ", dims, " dimensions of heads of ", args.x.shape[2]));
  }
  if (static_cast<int64_t>(args.positions.size()) != args.x.shape[0]) {
    return absl::InvalidArgumentError(absl::StrCat("rope has ", args.positions.size(),
                                                   " positions for ", args.x.shape[0], " tokens"));
  }
  for (const int32_t position : args.positions) {
    if (position < 0) {
      return absl::InvalidArgumentError(absl::StrCat("rope's position ", position, " is negative"));
    }
  }
  return CheckApart(args.x, "rope's x", args.inv_freq, "inv_freq");
}

}  // namespace potluck::kernels
