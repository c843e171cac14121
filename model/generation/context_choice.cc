#include "model/generation/context_choice.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace potluck::model {
namespace {

constexpr double kMemoryShare = 0.8;
constexpr int64_t kSmallestContext = 256;
constexpr int64_t kContextStep = 256;

}  // namespace

absl::StatusOr<ContextChoice> ChooseContext(const ModelConfig& config, const WeightSource& source,
                                            const kernels::DeviceInfo& device,
                                            const StageOptions& options, bool allow_longer) {
  const int64_t trained = config.context_length;
  if (options.context_length > 0) {
    if (options.context_length > trained && !allow_longer) {
      return absl::InvalidArgumentError(absl::StrCat("the model was trained for a context of ",
                                                     trained, " tokens, --ctx asks for ",
                                                     options.context_length, ": ask for less"));
    }
    return ContextChoice{
        options.context_length,
        absl::StrCat(options.context_length, options.context_length == 1 ? " token" : " tokens",
                     ", as asked")};
  }
  const auto bytes_for = [&](int64_t context_length) -> absl::StatusOr<int64_t> {
    StageOptions wanted = options;
    wanted.context_length = context_length;
    if (options.kv.capacity == 0) wanted.kv.capacity = context_length;
    POTLUCK_ASSIGN_OR_RETURN(const StageMemory memory,
                             DecoderStage::MemoryFor(config, source, wanted));
    return memory.total();
  };
  const auto allowed_bytes =
      static_cast<int64_t>(kMemoryShare * static_cast<double>(device.free_memory_bytes));
  POTLUCK_ASSIGN_OR_RETURN(const int64_t own_bytes, bytes_for(trained));
  if (own_bytes <= allowed_bytes || trained <= kSmallestContext) {
    return ContextChoice{trained, absl::StrCat(trained, " tokens, the model's own")};
  }
  int64_t fits = 0;
  for (int64_t low = 1, high = trained / kContextStep; low <= high;) {
    const int64_t middle = (low + high) / 2;
    POTLUCK_ASSIGN_OR_RETURN(const int64_t bytes, bytes_for(middle * kContextStep));
    if (bytes <= allowed_bytes) {
      fits = middle * kContextStep;
      low = middle + 1;
    } else {
      high = middle - 1;
    }
  }
  if (fits == 0) {
    POTLUCK_ASSIGN_OR_RETURN(const int64_t least_bytes, bytes_for(kSmallestContext));
    return absl::ResourceExhaustedError(absl::StrCat(
        "not enough memory on ", device.name, ": even a context of ", kSmallestContext,
        " tokens needs ", least_bytes >> 20, " MiB, and 80% of the free ",
        device.free_memory_bytes >> 20, " MiB is ", allowed_bytes >> 20,
        " MiB. Free some memory or choose a smaller model; --ctx takes all of it, if you must"));
  }
  return ContextChoice{
      fits, absl::StrCat(fits, " tokens, what fits in memory (the model's own is ", trained, ")")};
}

}  // namespace potluck::model
