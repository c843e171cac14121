// Runs token ids through a decoder stage in tests and keeps every logit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "model/decoder/decoder_stage.h"

namespace potluck::model {

// Appends `ids` to the sequence (begun by the caller) in chunks of `chunk` tokens; returns the
// logits of all of them, (T, V) row-major.
absl::StatusOr<std::vector<float>> RunTokens(DecoderStage& stage, SequenceId sequence,
                                             std::span<const TokenId> ids, int64_t chunk);

// max |a - b| / max |b|, NaN-safe: anything that is not a number gives infinity.
double RelativeError(std::span<const float> actual, std::span<const float> expected);

}  // namespace potluck::model
