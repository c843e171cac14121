// From a prompt to an answer on one machine: prefill in chunks, then one token at a time, each
// sampled, turned into text and checked for the end.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "model/decoder/decoder_stage.h"
#include "model/generation/finish_reason.h"
#include "model/grammar/answer_grammars.h"
#include "model/sampling/sampler.h"
#include "model/tokenizer/stream_decoder.h"
#include "model/tokenizer/tokenizer.h"

namespace potluck::model {

struct GenerationRequest {
  std::vector<TokenId> prompt;
  SamplingParams sampling;
  int64_t max_tokens = -1;          // -1: until the answer or the context ends
  std::vector<std::string> stop;    // ends before the first of them
  std::vector<TokenId> end_tokens;  // end the answer, beside the vocabulary's own
  int top_logprobs = -1;            // -1: none; 0: of the chosen tokens; n: and of the n likeliest
};

struct GenerationTimings {
  int64_t prompt_tokens = 0;  // of one that was cancelled, those that were got through
  int64_t cached_tokens = 0;  // of the prompt, whose KV was there already
  int64_t generated_tokens = 0;
  absl::Duration prompt_time;  // until the first token is known
  absl::Duration generation_time;

  double prompt_tokens_per_second() const;     // of those that were computed
  double generated_tokens_per_second() const;  // from the second token on
};

struct Generation {
  std::string text;
  std::vector<TokenId> ids;  // without the token that ended the turn
  // Per id: first its own log-probability, then those of the likeliest.
  std::vector<std::vector<TokenLogprob>> logprobs;
  FinishReason finish_reason = FinishReason::kStop;
  GenerationTimings timings;
};

struct GenerationCallbacks {
  // Each piece of new text, in whole UTF-8 characters.
  std::function<void(std::string_view)> on_text;
  // Asked before each step, and often within it; true ends the answer where it is.
  std::function<bool()> cancelled;
};

// Thread-compatible. KV of earlier prompts is reused where a new one begins alike.
class Generator {
 public:
  // All must outlive the generator. The stage is a whole model.
  Generator(DecoderStage& stage, const Tokenizer& tokenizer, const Clock& clock);

  // What Generate would refuse: InvalidArgument for an empty prompt, one that leaves no room in the
  // context (with the numbers), sampling parameters out of range, or a grammar that is none.
  absl::Status Check(const GenerationRequest& request) const;
  absl::StatusOr<Generation> Generate(const GenerationRequest& request,
                                      const GenerationCallbacks& callbacks = {});

 private:
  absl::StatusOr<bool> Prefill(const GenerationRequest& request,
                               const GenerationCallbacks& callbacks, Generation& generation);
  absl::Status Decode(const GenerationRequest& request, const GenerationCallbacks& callbacks,
                      Generation& generation);
  void SetTokens(std::span<const TokenId> ids, int32_t position, TokenKind kind, bool wants_logits);
  absl::StatusOr<bool> RunStep(const GenerationCallbacks& callbacks, Generation& generation);

  DecoderStage& stage_;
  const Tokenizer& tokenizer_;
  const Clock& clock_;
  Sampler sampler_;
  AnswerGrammars grammars_;
  SequenceId sequence_ = 0;
  Step step_;
  std::vector<float> logits_;
};

}  // namespace potluck::model
