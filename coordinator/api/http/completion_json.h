// Answers as OpenAI's clients read them: whole replies and the chunks of streams. What is beyond
// OpenAI's (timings, prompt_progress, reasoning_content) is llama-server's.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "coordinator/api/answer.h"
#include "coordinator/api/http/completion_request.h"

namespace potluck::coordinator {

// One choice, or what a chunk tells of it.
struct CompletionChoice {
  int index = 0;
  std::string reasoning, text;
  std::vector<AnswerCall> calls;
  bool has_logprobs = false;
  std::vector<ChosenToken> tokens;      // where it has
  size_t text_offset = 0;               // of the first token's text, in characters
  const char* finish_reason = nullptr;  // null: it goes on
};

// What all replies and chunks begin with; `choices` is still to be added.
nlohmann::ordered_json CompletionEnvelope(CompletionKind kind, const Answer::Head& head,
                                          const std::string& fingerprint, bool chunk);
nlohmann::ordered_json WholeChoice(CompletionKind kind, const CompletionChoice& choice,
                                   const model::Tokenizer& tokenizer);
nlohmann::ordered_json ChunkChoice(CompletionKind kind, const CompletionChoice& choice,
                                   const model::Tokenizer& tokenizer);
// {"role": "assistant", "content": null}: what a chat's choice begins with.
nlohmann::ordered_json RoleChoice(int index);

// OpenAI has no word for an answer that was cancelled; nobody reads one. `calls`: of tools.
inline const char* FinishReasonName(model::FinishReason reason, bool calls) {
  if (reason == model::FinishReason::kLength) return "length";
  return calls ? "tool_calls" : "stop";
}
// {"id", "token", "logprob", "bytes"}
nlohmann::ordered_json LogprobJson(const model::TokenLogprob& token,
                                   const model::Tokenizer& tokenizer);
nlohmann::ordered_json UsageJson(const AnswerUsage& usage);
nlohmann::ordered_json TimingsJson(const AnswerUsage& usage);
nlohmann::ordered_json ProgressJson(const PromptProgress& progress);

// Of all tokens' texts together.
size_t CharactersOf(const std::vector<ChosenToken>& tokens, const model::Tokenizer& tokenizer);

}  // namespace potluck::coordinator
