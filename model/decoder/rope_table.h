// The frequencies of a layer's rotary embedding, with the model's scaling for long contexts folded
// in.
//
// Sources: linear: Chen et al. 2023, arXiv:2306.15595; yarn: Peng et al. 2023, arXiv:2309.00071;
// longrope: Ding et al. 2024, arXiv:2402.13753; llama3: the Llama 3.1 model's own rule.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "model/config.h"
#include "model/graph/graph.h"
#include "model/weights.h"

namespace potluck::model {

// `context_length`: what this instance may hold; longrope chooses its short or long factors by it,
// once. Divisors that a GGUF file keeps as tensors (rope_freqs.weight,
// rope_factors_short/long.weight) come from `source`.
absl::StatusOr<RopeTable> MakeRopeTable(const ModelConfig& config, const LayerConfig& layer,
                                        const WeightSource& source, int64_t context_length);

}  // namespace potluck::model
