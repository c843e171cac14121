#include "coordinator/api/http/completion_request.h"

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/api/http/conversation_fields.h"
#include "coordinator/api/http/response_format.h"
#include "coordinator/api/http/tool_fields.h"
#include "coordinator/api/request_fields.h"
#include "model/bounded_json.h"

namespace potluck::coordinator {
namespace {

using model::FindKey;
using model::Json;
using model::TokenId;

constexpr size_t kMostPrompts = 32;
constexpr int32_t kMostChoices = 16;
constexpr size_t kMostStops = 16;
constexpr int kMostLogprobs = 20;
constexpr size_t kMostBiases = 1024;

absl::Status ReadFloat(const Json& body, const char* field, double least, double most,
                       std::optional<float>& value) {
  const Json* json = FindKey(body, field);
  if (json == nullptr) return absl::OkStatus();
  const auto number = model::NumberValue(json);
  if (!number.has_value() || !(*number >= least && *number <= most)) {
    return BadField(field, absl::StrCat("a number from ", least, " to ", most));
  }
  value = static_cast<float>(*number);
  return absl::OkStatus();
}

absl::Status ReadSeed(const Json& body, std::optional<uint64_t>& seed) {
  const Json* json = FindKey(body, "seed");
  if (json == nullptr) return absl::OkStatus();
  if (!json->is_number_integer()) return BadField("seed", "a whole number");
  // A negative one is as good as any.
  seed = json->is_number_unsigned() ? json->get<uint64_t>()
                                    : static_cast<uint64_t>(json->get<int64_t>());
  return absl::OkStatus();
}

absl::Status ReadLogitBias(const Json& body, std::vector<std::pair<TokenId, float>>& biases) {
  const Json* json = FindKey(body, "logit_bias");
  if (json == nullptr) return absl::OkStatus();
  const absl::Status bad =
      BadField("logit_bias", absl::StrCat("an object of at most ", kMostBiases,
                                          " token ids with numbers from -100 to 100"));
  if (!json->is_object() || json->size() > kMostBiases) return bad;
  for (const auto& [key, entry] : json->items()) {
    TokenId id = 0;
    const auto bias = model::NumberValue(&entry);
    if (!absl::SimpleAtoi(key, &id) || !bias.has_value() || !(std::abs(*bias) <= 100)) return bad;
    biases.emplace_back(id, static_cast<float>(*bias));
  }
  return absl::OkStatus();
}

absl::Status ReadLogprobs(const Json& body, CompletionKind kind, int& top) {
  if (kind == CompletionKind::kText) return ReadInt(body, "logprobs", 0, kMostLogprobs, top);
  bool wanted = false;
  POTLUCK_RETURN_IF_ERROR(ReadBool(body, "logprobs", wanted));
  if (wanted) top = 0;
  if (FindKey(body, "top_logprobs") == nullptr) return absl::OkStatus();
  if (!wanted) return BadField("logprobs", "true where top_logprobs is given");
  return ReadInt(body, "top_logprobs", 0, kMostLogprobs, top);
}

absl::Status ReadLimit(const Json& body, int64_t& max_tokens) {
  for (const char* field : {"max_tokens", "max_completion_tokens", "n_predict"}) {  // the last wins
    POTLUCK_RETURN_IF_ERROR(
        ReadInt(body, field, -1, std::numeric_limits<int32_t>::max(), max_tokens));
  }
  return absl::OkStatus();
}

// What would be answered wrongly if it were left alone.
absl::Status RefuseUnsupported(const Json& body) {
  bool echo = false;
  std::string suffix;
  POTLUCK_RETURN_IF_ERROR(ReadBool(body, "echo", echo));
  if (echo) return BadField("echo", "false: prompts are not repeated here");
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "suffix", suffix));
  if (!suffix.empty()) return BadField("suffix", "empty: texts are only continued here");
  int64_t best_of = 1;
  POTLUCK_RETURN_IF_ERROR(ReadInt(body, "best_of", 1, 1, best_of));
  return absl::OkStatus();
}

absl::Status ReadReasoningFormat(const Json& body, bool& split) {
  std::string format = "auto";
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "reasoning_format", format));
  split = format != "none";
  if (split && format != "auto" && format != "deepseek")
    return BadField("reasoning_format", "none, auto or deepseek");
  return absl::OkStatus();
}

absl::Status ReadSampling(const Json& body, model::SamplingOverrides& sampling) {
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "temperature", 0, 100, sampling.temperature));
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "top_p", 0, 1, sampling.top_p));
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "min_p", 0, 1, sampling.min_p));
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "repeat_penalty", 0.01, 100, sampling.repeat_penalty));
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "presence_penalty", -2, 2, sampling.presence_penalty));
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "frequency_penalty", -2, 2, sampling.frequency_penalty));
  POTLUCK_RETURN_IF_ERROR(
      ReadInt(body, "top_k", 0, std::numeric_limits<int32_t>::max(), sampling.top_k));
  POTLUCK_RETURN_IF_ERROR(ReadSeed(body, sampling.seed));
  return ReadLogitBias(body, sampling.logit_bias);
}

}  // namespace

absl::StatusOr<CompletionRequest> ParseCompletionRequest(std::string_view text,
                                                         CompletionKind kind) {
  POTLUCK_ASSIGN_OR_RETURN(const Json body, model::ParseJsonObject(text, "the body"));
  CompletionRequest request{.kind = kind};
  AnswerRequest& answer = request.answer;
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "model", answer.model));
  if (kind == CompletionKind::kChat) {
    Conversation conversation;
    POTLUCK_RETURN_IF_ERROR(ReadConversation(body, conversation));
    POTLUCK_RETURN_IF_ERROR(ReadTools(text, body, conversation, answer.tools));
    POTLUCK_RETURN_IF_ERROR(ReadReasoningFormat(body, answer.split_reasoning));
    answer.prompts.emplace_back(std::move(conversation));
  } else {
    POTLUCK_RETURN_IF_ERROR(ReadPrompts(body, "prompt", kMostPrompts, answer.prompts));
    answer.split_reasoning = false;
  }
  POTLUCK_RETURN_IF_ERROR(RefuseUnsupported(body));
  POTLUCK_RETURN_IF_ERROR(ReadInt(body, "n", 1, kMostChoices, answer.choices));
  POTLUCK_RETURN_IF_ERROR(ReadSampling(body, answer.sampling));
  POTLUCK_RETURN_IF_ERROR(ReadResponseFormat(text, body, answer));
  POTLUCK_RETURN_IF_ERROR(ReadTexts(body, "stop", kMostStops, answer.stop));
  POTLUCK_RETURN_IF_ERROR(ReadLogprobs(body, kind, answer.top_logprobs));
  POTLUCK_RETURN_IF_ERROR(ReadLimit(body, answer.max_tokens));
  POTLUCK_RETURN_IF_ERROR(ReadBool(body, "ignore_eos", answer.ignore_eos));
  POTLUCK_RETURN_IF_ERROR(ReadBool(body, "stream", request.stream));
  POTLUCK_RETURN_IF_ERROR(ReadBool(body, "return_progress", request.return_progress));
  POTLUCK_RETURN_IF_ERROR(ReadBool(body, "timings_per_token", request.timings_per_token));
  answer.tell_progress = request.stream && (request.return_progress || request.timings_per_token);
  if (const Json* options = FindKey(body, "stream_options")) {
    POTLUCK_RETURN_IF_ERROR(ReadBool(*options, "include_usage", request.include_usage));
  }
  return request;
}

}  // namespace potluck::coordinator
