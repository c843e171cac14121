#include "model/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "kernels/exact_math.h"
#include "model/sampling/philox.h"

namespace potluck::model {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The order in which candidates are preferred.
constexpr auto kBetter = [](const auto& a, const auto& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
};

// Standard Gumbel noise of one token at one place of one text.
double GumbelNoise(const SamplingParams& params, const SamplingContext& context, TokenId id) {
  const auto bits =
      Philox4x32({static_cast<uint32_t>(id), static_cast<uint32_t>(context.position),
                  static_cast<uint32_t>(context.choice), 0},
                 {static_cast<uint32_t>(params.seed), static_cast<uint32_t>(params.seed >> 32)});
  const double u = (bits[0] + 0.5) * 0x1p-32;
  return -kernels::ExactLog(-kernels::ExactLog(u));
}

// The largest noise that GumbelNoise can give, rounded up: -log(-log(1 - 2^-33)) = 22.873...
constexpr double kLargestNoise = 22.9;

}  // namespace

absl::Status CheckSampling(const SamplingParams& params, int64_t vocab_size) {
  const auto refuse = [](absl::string_view name, double value, absl::string_view range) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, ", it must be ", range));
  };
  if (!(params.temperature >= 0 && params.temperature <= 100)) {
    return refuse("temperature", params.temperature, "between 0 and 100");
  }
  if (params.top_k < 0) return refuse("top_k", params.top_k, "0 (all) or more");
  if (!(params.top_p > 0 && params.top_p <= 1))
    return refuse("top_p", params.top_p, "above 0 and at most 1");
  if (!(params.min_p >= 0 && params.min_p <= 1))
    return refuse("min_p", params.min_p, "between 0 and 1");
  if (!(params.repeat_penalty > 0 && params.repeat_penalty <= 100)) {
    return refuse("repeat_penalty", params.repeat_penalty, "above 0 and at most 100");
  }
  if (params.repeat_window < 0) return refuse("repeat_window", params.repeat_window, "0 or more");
  if (!(std::abs(params.presence_penalty) <= 100)) {
    return refuse("presence_penalty", params.presence_penalty, "between -100 and 100");
  }
  if (!(std::abs(params.frequency_penalty) <= 100)) {
    return refuse("frequency_penalty", params.frequency_penalty, "between -100 and 100");
  }
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || id >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("logit_bias names token ", id, ", outside the vocabulary of ", vocab_size));
    }
    if (!std::isfinite(bias)) return refuse("logit_bias", bias, "a finite number");
  }
  return absl::OkStatus();
}

absl::StatusOr<TokenId> Sampler::Sample(std::span<const float> logits, const SamplingParams& params,
                                        const SamplingContext& context) {
  POTLUCK_RETURN_IF_ERROR(CollectCandidates(logits, params, context));
  if (params.temperature == 0) return std::ranges::min_element(candidates_, kBetter)->id;
  KeepTopK(params.top_k);
  KeepTopP(params.top_p);
  KeepMinP(params.min_p);
  return GumbelMax(params, context);
}

absl::Status Sampler::CollectCandidates(std::span<const float> logits, const SamplingParams& params,
                                        const SamplingContext& context) {
  logits_.assign(logits.begin(), logits.end());
  for (const auto& [id, bias] : params.logit_bias) logits_[id] += bias;
  ApplyPenalties(params, context);
  candidates_.clear();
  for (size_t id = 0; id < logits_.size(); ++id) {
    if (!(logits_[id] < kInfinity)) {
      return absl::InternalError(
          absl::StrCat("the logit of token ", id, " is ", logits_[id],
                       ": the model's weights are damaged, or a bias or penalty is too large"));
    }
    const bool allowed =
        context.allowed.empty() ||
        (id / 64 < context.allowed.size() && (context.allowed[id / 64] >> (id % 64) & 1) != 0);
    if (allowed && logits_[id] > -kInfinity) {
      candidates_.push_back({logits_[id], static_cast<TokenId>(id)});
    }
  }
  if (candidates_.empty()) return absl::FailedPreconditionError("no token is allowed here");
  return absl::OkStatus();
}

void Sampler::ApplyPenalties(const SamplingParams& params, const SamplingContext& context) {
  const auto in_vocabulary = [&](TokenId id) {
    return id >= 0 && static_cast<size_t>(id) < logits_.size();
  };
  if (params.repeat_penalty != 1) {
    const size_t window = std::min<size_t>(params.repeat_window, context.history.size());
    const auto recent = context.history.last(window);
    seen_.assign(recent.begin(), recent.end());
    std::ranges::sort(seen_);
    seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
    for (const TokenId id : seen_) {
      if (!in_vocabulary(id)) continue;
      logits_[id] = logits_[id] > 0 ? logits_[id] / params.repeat_penalty
                                    : logits_[id] * params.repeat_penalty;
    }
  }
  if (params.presence_penalty == 0 && params.frequency_penalty == 0) return;
  const auto generated = context.history.subspan(context.prompt_length);
  seen_.assign(generated.begin(), generated.end());
  std::ranges::sort(seen_);
  for (size_t i = 0; i < seen_.size();) {
    const TokenId id = seen_[i];
    size_t count = 0;
    for (; i < seen_.size() && seen_[i] == id; ++i) ++count;
    if (!in_vocabulary(id)) continue;
    logits_[id] -= params.presence_penalty + static_cast<float>(count) * params.frequency_penalty;
  }
}

void Sampler::KeepTopK(int32_t top_k) {
  if (top_k == 0 || static_cast<size_t>(top_k) >= candidates_.size()) return;
  std::ranges::nth_element(candidates_, candidates_.begin() + top_k - 1, kBetter);
  candidates_.resize(top_k);
  std::ranges::sort(candidates_, {}, &Candidate::id);
}

// The fewest best candidates whose probabilities reach top_p together.
void Sampler::KeepTopP(float top_p) {
  if (top_p >= 1) return;
  const float best = std::ranges::min_element(candidates_, kBetter)->logit;
  const auto weight = [&](const Candidate& candidate) {
    return kernels::ExactExp(static_cast<double>(candidate.logit) - best);
  };
  double total = 0;  // in the order of ids, so that it is one number everywhere
  for (const Candidate& candidate : candidates_) total += weight(candidate);
  // A heap gives the best ones in order; mostly a handful of them is enough.
  const auto worse = [](const Candidate& a, const Candidate& b) { return kBetter(b, a); };
  std::ranges::make_heap(candidates_, worse);
  double reached = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && reached < top_p * total) {
    std::pop_heap(candidates_.begin(), candidates_.end() - static_cast<ptrdiff_t>(kept), worse);
    ++kept;
    reached += weight(candidates_[candidates_.size() - kept]);
  }
  candidates_.erase(candidates_.begin(), candidates_.end() - static_cast<ptrdiff_t>(kept));
}

void Sampler::KeepMinP(float min_p) {
  if (min_p <= 0) return;
  const float best = std::ranges::min_element(candidates_, kBetter)->logit;
  const double least = best + kernels::ExactLog(min_p);
  std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.logit < least; });
}

TokenId Sampler::GumbelMax(const SamplingParams& params, const SamplingContext& context) const {
  const auto scaled = [&](const Candidate& candidate) {
    return static_cast<double>(candidate.logit) / params.temperature;
  };
  const Candidate& likeliest = *std::ranges::min_element(candidates_, kBetter);
  TokenId chosen = likeliest.id;
  double best = scaled(likeliest) + GumbelNoise(params, context, likeliest.id);
  for (const Candidate& candidate : candidates_) {
    // Most tokens of a large vocabulary cannot win, whatever their noise.
    if (scaled(candidate) + kLargestNoise < best) continue;
    const double value = scaled(candidate) + GumbelNoise(params, context, candidate.id);
    if (value > best || (value == best && candidate.id < chosen)) {
      best = value;
      chosen = candidate.id;
    }
  }
  return chosen;
}

std::vector<TokenLogprob> Logprobs(std::span<const float> logits, TokenId chosen, int top) {
  const double best = *std::ranges::max_element(logits);
  double total = 0;
  for (const float logit : logits) total += kernels::ExactExp(logit - best);
  const double log_total = best + kernels::ExactLog(total);
  const auto logprob = [&](TokenId id) {
    return TokenLogprob{id, static_cast<float>(static_cast<double>(logits[id]) - log_total)};
  };
  std::vector<TokenLogprob> logprobs = {logprob(chosen)};
  if (top <= 0) return logprobs;
  std::vector<TokenId> ids(logits.size());
  for (size_t id = 0; id < ids.size(); ++id) ids[id] = static_cast<TokenId>(id);
  const auto count = std::min<size_t>(top, ids.size());
  std::ranges::partial_sort(
      ids, ids.begin() + static_cast<ptrdiff_t>(count),
      [&](TokenId a, TokenId b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  for (size_t i = 0; i < count; ++i) logprobs.push_back(logprob(ids[i]));
  return logprobs;
}

}  // namespace potluck::model
