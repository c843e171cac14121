#include "model/generation/generator.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "common/status_macros.h"
#include "model/generation/answer_text.h"
#include "model/generation/context_overflow.h"

namespace potluck::model {
double GenerationTimings::prompt_tokens_per_second() const {
  const double seconds = absl::ToDoubleSeconds(prompt_time);
  return seconds > 0 ? static_cast<double>(prompt_tokens - cached_tokens) / seconds : 0;
}

double GenerationTimings::generated_tokens_per_second() const {
  const double seconds = absl::ToDoubleSeconds(generation_time);
  return seconds > 0 && generated_tokens > 1 ? static_cast<double>(generated_tokens - 1) / seconds
                                             : 0;
}

// The grammars' vocabulary shares nothing: the tokenizer outlives both.
Generator::Generator(DecoderStage& stage, const Tokenizer& tokenizer, const Clock& clock)
    : stage_(stage), tokenizer_(tokenizer), clock_(clock), grammars_([&tokenizer] {
        return std::make_shared<const TokenTrie>(
            std::shared_ptr<const Tokenizer>(std::shared_ptr<void>(), &tokenizer));
      }) {}

absl::StatusOr<Generation> Generator::Generate(const GenerationRequest& request,
                                               const GenerationCallbacks& callbacks) {
  POTLUCK_RETURN_IF_ERROR(Check(request));
  Generation generation;
  generation.timings.prompt_tokens = static_cast<int64_t>(request.prompt.size());
  ++sequence_;
  POTLUCK_ASSIGN_OR_RETURN(generation.timings.cached_tokens,
                           stage_.kv().Begin(sequence_, request.prompt));
  absl::Cleanup free_sequence = [&] { stage_.kv().Apply(FreeCommand{sequence_}).IgnoreError(); };
  logits_.resize(stage_.config().vocab_size);

  const absl::Duration start = clock_.SinceStart();
  POTLUCK_ASSIGN_OR_RETURN(const bool complete, Prefill(request, callbacks, generation));
  const absl::Duration prefilled = clock_.SinceStart();
  generation.timings.prompt_time = prefilled - start;
  if (complete) POTLUCK_RETURN_IF_ERROR(Decode(request, callbacks, generation));
  generation.timings.generation_time = clock_.SinceStart() - prefilled;
  generation.timings.generated_tokens = static_cast<int64_t>(generation.ids.size());
  return generation;
}

absl::Status Generator::Check(const GenerationRequest& request) const {
  if (request.prompt.empty())
    return absl::InvalidArgumentError("the prompt is empty: write something to continue");
  const auto prompt_length = static_cast<int64_t>(request.prompt.size());
  if (prompt_length >= stage_.context_length()) {
    return ContextOverflowError(
        {.prompt_tokens = prompt_length, .context_length = stage_.context_length()},
        "shorten the prompt, or choose a larger context (--ctx)");
  }
  POTLUCK_RETURN_IF_ERROR(CheckSampling(request.sampling, stage_.config().vocab_size));
  return CheckGrammar(request.sampling);
}

// The whole prompt but what is cached, in chunks; only the last token's logits are wanted. False if
// cancelled.
absl::StatusOr<bool> Generator::Prefill(const GenerationRequest& request,
                                        const GenerationCallbacks& callbacks,
                                        Generation& generation) {
  const std::span<const TokenId> prompt = request.prompt;
  for (auto done = static_cast<size_t>(generation.timings.cached_tokens); done < prompt.size();) {
    const auto now = std::min<size_t>(stage_.max_tokens(), prompt.size() - done);
    const bool last = done + now == prompt.size();
    SetTokens(prompt.subspan(done, now), static_cast<int32_t>(done), TokenKind::kPrompt, last);
    POTLUCK_ASSIGN_OR_RETURN(const bool ran, RunStep(callbacks, generation));
    if (!ran) {
      generation.timings.prompt_tokens = static_cast<int64_t>(done);
      return false;
    }
    done += now;
  }
  return true;
}

// Samples from the logits of the last step until something ends the answer.
absl::Status Generator::Decode(const GenerationRequest& request,
                               const GenerationCallbacks& callbacks, Generation& generation) {
  AnswerText answer(tokenizer_, request.stop);
  const auto show = [&](const std::string& text) {
    if (text.empty()) return;
    generation.text.append(text);
    if (callbacks.on_text) callbacks.on_text(text);
  };
  POTLUCK_ASSIGN_OR_RETURN(const auto grammar, grammars_.Begin(request.sampling));
  std::vector<TokenId> history = request.prompt;
  while (true) {
    const auto generated = static_cast<int64_t>(generation.ids.size());
    const auto position = static_cast<int32_t>(history.size());
    if (callbacks.cancelled && callbacks.cancelled()) {
      generation.finish_reason = FinishReason::kCancelled;
      break;
    }
    if (generated == request.max_tokens || position >= stage_.context_length()) {
      generation.finish_reason = FinishReason::kLength;
      break;
    }
    POTLUCK_RETURN_IF_ERROR(stage_.ReadLogits(0, logits_));
    POTLUCK_ASSIGN_OR_RETURN(const TokenId id,
                             sampler_.Sample(logits_, request.sampling,
                                             {.history = history,
                                              .prompt_length = request.prompt.size(),
                                              .position = position,
                                              .allowed = grammar ? grammar->Allowed(generation.ids)
                                                                 : std::span<const uint64_t>()}));
    if (tokenizer_.IsEndOfGeneration(id) ||
        std::ranges::find(request.end_tokens, id) != request.end_tokens.end()) {
      break;
    }
    if (request.top_logprobs >= 0)
      generation.logprobs.push_back(Logprobs(logits_, id, request.top_logprobs));
    history.push_back(id);
    generation.ids.push_back(id);
    show(answer.Feed(id));
    if (answer.stopped()) break;
    const bool another =
        generated + 1 != request.max_tokens && position + 1 < stage_.context_length();
    if (!another) continue;  // the limit ends it
    SetTokens({&id, 1}, position, TokenKind::kGenerated, true);
    POTLUCK_ASSIGN_OR_RETURN(const bool ran, RunStep(callbacks, generation));
    if (!ran) break;
  }
  show(answer.Finish());
  return absl::OkStatus();
}

void Generator::SetTokens(std::span<const TokenId> ids, int32_t position, TokenKind kind,
                          bool wants_logits) {
  step_.tokens.clear();
  for (size_t i = 0; i < ids.size(); ++i) {
    step_.tokens.push_back({.sequence = sequence_,
                            .id = ids[i],
                            .position = static_cast<int32_t>(position + i),
                            .parent = static_cast<int32_t>(i) - 1,
                            .kind = kind});
  }
  if (wants_logits) step_.tokens.back().wanted = Wanted::kLogits;
}

// False, which the generation tells then, where it was cancelled.
absl::StatusOr<bool> Generator::RunStep(const GenerationCallbacks& callbacks,
                                        Generation& generation) {
  const absl::Status status = stage_.Run(step_, {}, callbacks.cancelled);
  if (status.ok()) return true;
  if (!absl::IsCancelled(status)) return status;
  generation.finish_reason = FinishReason::kCancelled;
  return false;
}

}  // namespace potluck::model
