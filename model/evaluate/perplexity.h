// Perplexity of a text, as llama.cpp measures it: the text is cut into chunks of the context's
// size, each is computed on its own (its first token replaced by BOS where the vocabulary adds
// one), and the tokens of each chunk's second half are scored.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "absl/status/statusor.h"
#include "model/decoder/decoder_stage.h"
#include "model/tokenizer/tokenizer.h"

namespace potluck::model {

struct Perplexity {
  double perplexity = 0;  // exp of the mean negative log-likelihood
  double mean_negative_log_likelihood = 0;
  double standard_error = 0;  // of the perplexity
  int64_t scored_tokens = 0;
  int64_t chunks = 0;
  int64_t tokens = 0;  // of the text
};

struct PerplexityCallbacks {
  // After each chunk, with the perplexity so far.
  std::function<void(int64_t chunks_done, int64_t chunks, double perplexity)> on_progress;
  std::function<bool()> cancelled;
};

// `ids`: the text's tokens, as Encode gives them. `chunk_tokens`: at most the stage's context.
// InvalidArgument where the text is shorter than two chunks; Cancelled.
absl::StatusOr<Perplexity> MeasurePerplexity(DecoderStage& stage, const Tokenizer& tokenizer,
                                             std::span<const TokenId> ids, int64_t chunk_tokens,
                                             const PerplexityCallbacks& callbacks = {});

}  // namespace potluck::model
