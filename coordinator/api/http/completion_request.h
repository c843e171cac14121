// What a client asks for at /v1/completions and /v1/chat/completions: JSON to plain data. Fields
// have OpenAI's names; those beyond OpenAI's (top_k, min_p, repeat_penalty, ignore_eos)
// llama-server's.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "model/sampling/sampling_overrides.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::coordinator {

struct CompletionRequest {
  std::string model;  // empty: whichever is loaded
  // Text, token ids, or (chat only) the messages of a conversation.
  std::variant<std::string, std::vector<model::TokenId>, nlohmann::ordered_json> prompt;
  model::SamplingOverrides sampling;
  int64_t max_tokens = -1;  // -1: until the answer or the context ends
  std::vector<std::string> stop;
  int top_logprobs = -1;  // -1: none
  bool stream = false;
  bool include_usage = false;
  bool ignore_eos = false;  // no end token ends it
};

enum class CompletionKind : uint8_t { kText, kChat };

// InvalidArgument, naming the field and what it may be. Fields that are not known are left alone.
absl::StatusOr<CompletionRequest> ParseCompletionRequest(std::string_view body,
                                                         CompletionKind kind);

}  // namespace potluck::coordinator
