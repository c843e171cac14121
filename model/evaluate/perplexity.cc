#include "model/evaluate/perplexity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "model/sampling/sampler.h"

namespace potluck::model {
namespace {

// Sums over scored tokens.
struct Scores {
  double sum = 0, sum_of_squares = 0;
  int64_t count = 0;

  void Add(double negative_log_likelihood) {
    sum += negative_log_likelihood;
    sum_of_squares += negative_log_likelihood * negative_log_likelihood;
    ++count;
  }
  double mean() const { return sum / static_cast<double>(count); }
};

// Runs one chunk and scores the tokens that follow positions [first_scored, chunk size - 1).
absl::Status ScoreChunk(DecoderStage& stage, std::span<const TokenId> chunk,
                        const std::function<bool()>& cancelled, Scores& scores) {
  constexpr SequenceId kSequence = 1;
  POTLUCK_RETURN_IF_ERROR(stage.kv().Begin(kSequence, {}).status());
  absl::Cleanup free_sequence = [&] { stage.kv().Apply(FreeCommand{kSequence}).IgnoreError(); };
  const auto size = static_cast<int64_t>(chunk.size());
  const int64_t first_scored = size / 2;
  std::vector<float> logits(stage.config().vocab_size);
  Step step;
  for (int64_t done = 0; done < size;) {
    step.tokens.clear();
    int64_t outputs = 0;
    for (; done < size && static_cast<int64_t>(step.tokens.size()) < stage.max_tokens(); ++done) {
      const bool scored = done >= first_scored && done + 1 < size;
      if (scored && outputs == stage.max_outputs()) break;
      outputs += scored;
      step.tokens.push_back({.sequence = kSequence,
                             .id = chunk[done],
                             .position = static_cast<int32_t>(done),
                             .parent = static_cast<int32_t>(step.tokens.size()) - 1,
                             .wanted = scored ? Wanted::kLogits : Wanted::kNothing});
    }
    POTLUCK_RETURN_IF_ERROR(stage.Run(step, {}, cancelled));
    for (size_t row = 0; row < stage.outputs().size(); ++row) {
      POTLUCK_RETURN_IF_ERROR(stage.ReadLogits(static_cast<int64_t>(row), logits));
      const TokenId next = chunk[step.tokens[stage.outputs()[row]].position + 1];
      scores.Add(-static_cast<double>(Logprobs(logits, next, 0).front().logprob));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Perplexity> MeasurePerplexity(DecoderStage& stage, const Tokenizer& tokenizer,
                                             std::span<const TokenId> ids, int64_t chunk_tokens,
                                             const PerplexityCallbacks& callbacks) {
  const auto num_ids = static_cast<int64_t>(ids.size());
  if (chunk_tokens < 4)
    return absl::InvalidArgumentError("perplexity needs chunks of at least 4 tokens (--ctx)");
  if (num_ids < 2 * chunk_tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text has ", num_ids, " tokens; perplexity needs two chunks of ",
                     chunk_tokens, ": give a longer text or a smaller --ctx"));
  }
  Perplexity result{.chunks = num_ids / chunk_tokens, .tokens = num_ids};
  Scores scores;
  for (int64_t i = 0; i < result.chunks; ++i) {
    const auto part = ids.subspan(i * chunk_tokens, chunk_tokens);
    std::vector<TokenId> chunk(part.begin(), part.end());
    if (tokenizer.adds_bos() && tokenizer.bos().has_value()) chunk.front() = *tokenizer.bos();
    POTLUCK_RETURN_IF_ERROR(ScoreChunk(stage, chunk, callbacks.cancelled, scores));
    if (!std::isfinite(scores.sum)) {
      return absl::InternalError(
          absl::StrCat("the logits of chunk ", i + 1,
                       " are not finite numbers: the model's weights or its file are damaged"));
    }
    if (callbacks.on_progress) callbacks.on_progress(i + 1, result.chunks, std::exp(scores.mean()));
  }
  result.scored_tokens = scores.count;
  result.mean_negative_log_likelihood = scores.mean();
  result.perplexity = std::exp(scores.mean());
  const double variance =
      scores.sum_of_squares / static_cast<double>(scores.count) - scores.mean() * scores.mean();
  if (scores.count > 1) {
    result.standard_error = result.perplexity * std::sqrt(std::max(0.0, variance) /
                                                          static_cast<double>(scores.count - 1));
  }
  return result;
}

}  // namespace potluck::model
