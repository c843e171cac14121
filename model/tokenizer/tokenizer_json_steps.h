// The parts of tokenizer.json that say what happens around the merges.
#pragma once

#include "absl/status/status.h"
#include "model/bounded_json.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

// Reads `normalizer`, `pre_tokenizer` and `post_processor` of the file's top object into `steps`;
// `byte_level` tells whether pieces are written in the byte alphabet. InvalidArgument or
// Unimplemented, naming the part.
absl::Status ReadTextSteps(const Json& tokenizer, TextSteps& steps, bool& byte_level);

}  // namespace potluck::model
