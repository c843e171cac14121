// What a client asks for at /v1/completions and /v1/chat/completions: JSON to plain data. Fields
// have OpenAI's names; those beyond OpenAI's (top_k, min_p, repeat_penalty, ignore_eos, n_predict,
// return_progress, timings_per_token, chat_template_kwargs, reasoning_format, grammar, json_schema)
// llama-server's.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/api/answer_request.h"

namespace potluck::coordinator {

enum class CompletionKind : uint8_t { kText, kChat };

struct CompletionRequest {
  CompletionKind kind = CompletionKind::kText;
  AnswerRequest answer;
  bool stream = false;
  // Of a stream:
  bool include_usage = false;
  bool return_progress = false;
  bool timings_per_token = false;
};

// InvalidArgument, naming the field and what it may be. Fields that are not known are left alone.
absl::StatusOr<CompletionRequest> ParseCompletionRequest(std::string_view body,
                                                         CompletionKind kind);

}  // namespace potluck::coordinator
