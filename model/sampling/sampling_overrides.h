// What a person asked for of a model's sampling; the rest is the model's own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/sampling/sampler.h"

namespace potluck::model {

struct SamplingOverrides {
  std::optional<float> temperature, top_p, min_p, repeat_penalty, presence_penalty,
      frequency_penalty;
  std::optional<int32_t> top_k;
  std::optional<uint64_t> seed;
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::string grammar;

  // `params` with these in their place; without a seed of its own, `random_seed`.
  SamplingParams Over(SamplingParams params, uint64_t random_seed) const {
    params.temperature = temperature.value_or(params.temperature);
    params.top_k = top_k.value_or(params.top_k);
    params.top_p = top_p.value_or(params.top_p);
    params.min_p = min_p.value_or(params.min_p);
    params.repeat_penalty = repeat_penalty.value_or(params.repeat_penalty);
    params.presence_penalty = presence_penalty.value_or(params.presence_penalty);
    params.frequency_penalty = frequency_penalty.value_or(params.frequency_penalty);
    params.seed = seed.value_or(random_seed);
    if (!logit_bias.empty()) params.logit_bias = logit_bias;
    params.grammar = grammar;
    return params;
  }
};

}  // namespace potluck::model
