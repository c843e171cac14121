#include "kernels/elementwise.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "kernels/view_checks.h"

namespace potluck::kernels {
namespace {

// An output of its own, or exactly in the place of the input.
absl::Status CheckInPlaceOrApart(const TensorView& y, absl::string_view y_name, const TensorView& x,
                                 absl::string_view x_name) {
  return SamePlace(x, y) ? absl::OkStatus() : CheckApart(y, y_name, x, x_name);
}

}  // namespace

absl::Status Validate(const GatedActivationArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckView(args.gate, "gated_activation's gate", DType::kF32, {-1, -1}));
  const int64_t rows = args.gate.shape[0], columns = args.gate.shape[1];
  POTLUCK_RETURN_IF_ERROR(
      CheckView(args.up, "gated_activation's up", DType::kF32, {rows, columns}));
  POTLUCK_RETURN_IF_ERROR(CheckView(args.y, "gated_activation's y", DType::kF32, {rows, columns}));
  if (args.function > GateFunction::kGeluErf) {
    return absl::InvalidArgumentError("gated_activation's function is none that there is");
  }
  POTLUCK_RETURN_IF_ERROR(CheckInPlaceOrApart(args.y, "gated_activation's y", args.gate, "gate"));
  return CheckInPlaceOrApart(args.y, "gated_activation's y", args.up, "up");
}

absl::Status Validate(const AddArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckView(args.a, "add's a", DType::kF32, {-1, -1}));
  const int64_t rows = args.a.shape[0], columns = args.a.shape[1];
  POTLUCK_RETURN_IF_ERROR(CheckView(args.b, "add's b", DType::kF32, {rows, columns}));
  POTLUCK_RETURN_IF_ERROR(CheckView(args.y, "add's y", DType::kF32, {rows, columns}));
  POTLUCK_RETURN_IF_ERROR(CheckInPlaceOrApart(args.y, "add's y", args.a, "a"));
  return CheckInPlaceOrApart(args.y, "add's y", args.b, "b");
}

absl::Status Validate(const ScaleArgs& args) {
  return CheckView(args.x, "scale's x", DType::kF32, {-1, -1});
}

absl::Status Validate(const SoftCapArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckView(args.x, "soft_cap's x", DType::kF32, {-1, -1}));
  if (!(args.cap > 0) || !std::isfinite(args.cap)) {
    return absl::InvalidArgumentError(absl::StrCat("soft_cap's cap is ", args.cap, ", not > 0"));
  }
  return absl::OkStatus();
}

absl::Status Validate(const GatherRowsArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckView(args.x, "gather_rows' x", DType::kF32, {-1, -1}));
  POTLUCK_RETURN_IF_ERROR(CheckView(args.y, "gather_rows' y", DType::kF32,
                                    {static_cast<int64_t>(args.rows.size()), args.x.shape[1]}));
  for (const int32_t row : args.rows) {
    if (row < 0 || row >= args.x.shape[0]) {
      return absl::InvalidArgumentError(
          absl::StrCat("gather_rows wants row ", row, " of ", args.x.shape[0]));
    }
  }
  return CheckApart(args.y, "gather_rows' y", args.x, "x");
}

absl::Status Validate(const ExpertRouteArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckView(args.logits, "expert_route's logits", DType::kF32, {-1, -1}));
  const int64_t rows = args.logits.shape[0];
  POTLUCK_RETURN_IF_ERROR(
      CheckView(args.experts, "expert_route's experts", DType::kI32, {rows, -1}));
  const int64_t used = args.experts.shape[1];
  POTLUCK_RETURN_IF_ERROR(
      CheckView(args.weights, "expert_route's weights", DType::kF32, {rows, used}));
  if (used < 1 || used > args.logits.shape[1] || args.logits.shape[1] > kMaxExperts) {
    return absl::InvalidArgumentError(absl::StrCat("expert_route wants ", used, " of ",
                                                   args.logits.shape[1], " experts; there may be ",
                                                   kMaxExperts));
  }
  POTLUCK_RETURN_IF_ERROR(
      CheckApart(args.experts, "expert_route's experts", args.logits, "logits"));
  POTLUCK_RETURN_IF_ERROR(
      CheckApart(args.weights, "expert_route's weights", args.logits, "logits"));
  return CheckApart(args.weights, "expert_route's weights", args.experts, "experts");
}

absl::Status Validate(const ExpertCombineArgs& args) {
  POTLUCK_RETURN_IF_ERROR(
      CheckView(args.weights, "expert_combine's weights", DType::kF32, {-1, -1}));
  const int64_t rows = args.weights.shape[0], used = args.weights.shape[1];
  POTLUCK_RETURN_IF_ERROR(CheckView(args.x, "expert_combine's x", DType::kF32, {rows * used, -1}));
  POTLUCK_RETURN_IF_ERROR(
      CheckView(args.y, "expert_combine's y", DType::kF32, {rows, args.x.shape[1]}));
  POTLUCK_RETURN_IF_ERROR(CheckApart(args.y, "expert_combine's y", args.x, "x"));
  return CheckApart(args.y, "expert_combine's y", args.weights, "weights");
}

}  // namespace potluck::kernels
