#include "kernels/rms_norm.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "kernels/view_checks.h"

namespace potluck::kernels {

absl::Status Validate(const RmsNormArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckView(args.x, "rms_norm's x", DType::kF32, {-1, -1}));
  const int64_t dim = args.x.shape[1];
  if (dim == 0) return absl::InvalidArgumentError("rms_norm's x has rows of 0 elements");
  POTLUCK_RETURN_IF_ERROR(CheckView(args.gain, "rms_norm's gain", DType::kF32, {dim}));
  POTLUCK_RETURN_IF_ERROR(CheckView(args.y, "rms_norm's y", DType::kF32, {args.x.shape[0], dim}));
  if (!(args.eps > 0) || !std::isfinite(args.eps)) {
    return absl::InvalidArgumentError(absl::StrCat("rms_norm's eps is ", args.eps, ", not > 0"));
  }
  POTLUCK_RETURN_IF_ERROR(CheckApart(args.y, "rms_norm's y", args.gain, "gain"));
  if (SamePlace(args.x, args.y)) return absl::OkStatus();
  return CheckApart(args.y, "rms_norm's y", args.x, "x");
}

}  // namespace potluck::kernels
