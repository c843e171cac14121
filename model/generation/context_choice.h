// How long a context a model gets where nobody says: its own, or what fits in memory.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "model/config.h"
#include "model/decoder/decoder_stage.h"
#include "model/weights.h"

namespace potluck::model {

struct ContextChoice {
  int64_t context_length = 0;
  std::string reason;  // "2048 tokens, the model's own"
};

// `options.context_length` is what was asked for (0: nothing); `options.kv.capacity` 0 means one
// context. InvalidArgument where that is more than the model was trained for and `allow_longer` is
// false; ResourceExhausted where not even a context of 256 fits in 80% of the free memory.
absl::StatusOr<ContextChoice> ChooseContext(const ModelConfig& config, const WeightSource& source,
                                            const kernels::DeviceInfo& device,
                                            const StageOptions& options, bool allow_longer);

}  // namespace potluck::model
