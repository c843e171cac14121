#include "kernels/matmul.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "kernels/view_checks.h"
#include "kernels/weight.h"

namespace potluck::kernels {
namespace {

absl::Status Error(const Product& product, absl::string_view what) {
  const absl::string_view name =
      product.weight == nullptr ? "a product" : ToAbsl(product.weight->name());
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", what));
}

absl::Status CheckAdapters(const Product& product, int64_t num_tokens, int64_t in_dim) {
  const AdapterRows& rows = product.adapters;
  if (rows.token_slot.empty()) return absl::OkStatus();
  if (static_cast<int64_t>(rows.token_slot.size()) != num_tokens) {
    return Error(product, absl::StrCat(rows.token_slot.size(), " adapter slots for ", num_tokens,
                                       " tokens"));
  }
  for (const uint16_t slot : rows.token_slot) {
    if (slot > rows.adapters.size()) {
      return Error(product, absl::StrCat("adapter slot ", slot, " of ", rows.adapters.size()));
    }
  }
  for (const LowRank& adapter : rows.adapters) {
    POTLUCK_RETURN_IF_ERROR(CheckView(adapter.a, "an adapter's A", DType::kF32, {-1, in_dim}));
    POTLUCK_RETURN_IF_ERROR(CheckView(adapter.b, "an adapter's B", DType::kF32,
                                      {product.weight->rows(), adapter.a.shape[0]}));
  }
  return absl::OkStatus();
}

absl::Status CheckProduct(const Product& product, const TensorView& x, int64_t num_rows) {
  const int64_t in_dim = x.shape[1];
  if (product.weight == nullptr) return Error(product, "no weight");
  if (product.weight->cols() != in_dim) {
    return Error(product,
                 absl::StrCat("x has ", in_dim, " columns, the weight ", product.weight->cols()));
  }
  absl::Status status = CheckView(product.y, "y", DType::kF32, {num_rows, product.weight->rows()});
  if (status.ok()) status = CheckApart(product.y, "y", x, "x");
  return Annotate(status, ToAbsl(product.weight->name()));
}

}  // namespace

absl::Status Validate(const MatMulArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckView(args.x, "x", DType::kF32, {-1, -1}));
  const int64_t num_tokens = args.x.shape[0], in_dim = args.x.shape[1];
  for (const Product& product : args.products) {
    POTLUCK_RETURN_IF_ERROR(CheckProduct(product, args.x, num_tokens));
    if (product.weight->num_experts() != 1) {
      return Error(product, "a stack of experts where one matrix is due");
    }
    if (product.bias.rank != 0) {
      POTLUCK_RETURN_IF_ERROR(
          CheckView(product.bias, "bias", DType::kF32, {product.weight->rows()}));
    }
    POTLUCK_RETURN_IF_ERROR(CheckAdapters(product, num_tokens, in_dim));
  }
  return absl::OkStatus();
}

absl::Status Validate(const ExpertMatMulArgs& args) {
  POTLUCK_RETURN_IF_ERROR(CheckView(args.x, "x", DType::kF32, {-1, -1}));
  POTLUCK_RETURN_IF_ERROR(CheckView(args.experts, "experts", DType::kI32, {-1, -1}));
  const int64_t num_tokens = args.experts.shape[0], choices = args.experts.shape[1];
  if (args.x.shape[0] != num_tokens && args.x.shape[0] != num_tokens * choices) {
    return absl::InvalidArgumentError(
        absl::StrCat("x has ", args.x.shape[0], " rows, the experts are ", ToString(args.experts)));
  }
  for (const Product& product : args.products) {
    POTLUCK_RETURN_IF_ERROR(CheckProduct(product, args.x, num_tokens * choices));
    if (product.bias.rank != 0 || !product.adapters.token_slot.empty()) {
      return Error(product, "bias and adapters are not for experts");
    }
    for (int64_t t = 0; t < num_tokens; ++t) {
      const int32_t* row = args.experts.host<int32_t>() + t * args.experts.strides[0];
      for (int64_t j = 0; j < choices; ++j) {
        if (row[j] < 0 || row[j] >= product.weight->num_experts()) {
          return Error(product,
                       absl::StrCat("expert ", row[j], " of ", product.weight->num_experts()));
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace potluck::kernels
