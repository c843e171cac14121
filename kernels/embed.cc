#include "kernels/embed.h"

#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "kernels/view_checks.h"
#include "kernels/weight.h"

namespace potluck::kernels {

absl::Status Validate(const EmbedArgs& args) {
  if (args.weight == nullptr || args.weight->num_experts() != 1) {
    return absl::InvalidArgumentError("an embedding needs one matrix");
  }
  for (const int32_t id : args.ids) {
    if (id < 0 || id >= args.weight->rows()) {
      return absl::InvalidArgumentError(absl::StrCat(ToAbsl(args.weight->name()), ": token id ", id,
                                                     " of ", args.weight->rows()));
    }
  }
  return CheckView(args.y, "y", DType::kF32,
                   {static_cast<int64_t>(args.ids.size()), args.weight->cols()});
}

}  // namespace potluck::kernels
