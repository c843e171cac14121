#include "coordinator/api/http/completion_request.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/api/http/request_fields.h"
#include "model/bounded_json.h"

namespace potluck::coordinator {
namespace {

using model::FindKey;
using model::Json;
using model::TokenId;

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

absl::Status ReadStop(const Json& body, std::vector<std::string>& stop) {
  const Json* json = FindKey(body, "stop");
  if (json == nullptr) return absl::OkStatus();
  const absl::Status bad =
      BadField("stop", absl::StrCat("a string, or an array of at most ", kMostStops, " strings"));
  if (auto text = model::StringValue(json)) {
    stop = {*std::move(text)};
    return absl::OkStatus();
  }
  if (!json->is_array() || json->size() > kMostStops) return bad;
  for (const Json& entry : *json) {
    auto text = model::StringValue(&entry);
    if (!text.has_value()) return bad;
    stop.push_back(*std::move(text));
  }
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

absl::Status ReadPrompt(const Json& body, CompletionRequest& request) {
  const Json* json = FindKey(body, "prompt");
  const absl::Status bad = BadField("prompt", "a string or an array of token ids");
  if (json == nullptr) return bad;
  if (auto text = model::StringValue(json)) {
    request.prompt = *std::move(text);
    return absl::OkStatus();
  }
  if (!json->is_array()) return bad;
  std::vector<TokenId> ids;
  ids.reserve(json->size());
  for (const Json& entry : *json) {
    const auto id = model::IntValue(&entry);
    if (!id.has_value() || *id < 0 || *id > std::numeric_limits<TokenId>::max()) return bad;
    ids.push_back(static_cast<TokenId>(*id));
  }
  request.prompt = std::move(ids);
  return absl::OkStatus();
}

absl::Status ReadMessages(const Json& body, CompletionRequest& request) {
  const Json* json = FindKey(body, "messages");
  const absl::Status bad = BadField(
      "messages", "an array of objects, each with a role and a content, both of them strings");
  if (json == nullptr || !json->is_array() || json->empty()) return bad;
  auto messages = nlohmann::ordered_json::array();
  for (const Json& entry : *json) {
    auto role = model::StringValue(FindKey(entry, "role"));
    auto content = model::StringValue(FindKey(entry, "content"));
    if (!role.has_value() || !content.has_value()) return bad;
    messages.push_back({{"role", *std::move(role)}, {"content", *std::move(content)}});
  }
  request.prompt = std::move(messages);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CompletionRequest> ParseCompletionRequest(std::string_view text,
                                                         CompletionKind kind) {
  POTLUCK_ASSIGN_OR_RETURN(const Json body, model::ParseJsonObject(text, "the body"));
  CompletionRequest request;
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "model", request.model));
  POTLUCK_RETURN_IF_ERROR(kind == CompletionKind::kChat ? ReadMessages(body, request)
                                                        : ReadPrompt(body, request));
  model::SamplingOverrides& sampling = request.sampling;
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "temperature", 0, 100, sampling.temperature));
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "top_p", 0, 1, sampling.top_p));
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "min_p", 0, 1, sampling.min_p));
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "repeat_penalty", 0.01, 100, sampling.repeat_penalty));
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "presence_penalty", -2, 2, sampling.presence_penalty));
  POTLUCK_RETURN_IF_ERROR(ReadFloat(body, "frequency_penalty", -2, 2, sampling.frequency_penalty));
  POTLUCK_RETURN_IF_ERROR(
      ReadInt(body, "top_k", 0, std::numeric_limits<int32_t>::max(), sampling.top_k));
  POTLUCK_RETURN_IF_ERROR(ReadSeed(body, sampling.seed));
  POTLUCK_RETURN_IF_ERROR(ReadLogitBias(body, sampling.logit_bias));
  POTLUCK_RETURN_IF_ERROR(ReadStop(body, request.stop));
  POTLUCK_RETURN_IF_ERROR(ReadLogprobs(body, kind, request.top_logprobs));
  const char* limit = kind == CompletionKind::kChat && FindKey(body, "max_completion_tokens")
                          ? "max_completion_tokens"
                          : "max_tokens";
  POTLUCK_RETURN_IF_ERROR(
      ReadInt(body, limit, -1, std::numeric_limits<int32_t>::max(), request.max_tokens));
  POTLUCK_RETURN_IF_ERROR(ReadBool(body, "stream", request.stream));
  POTLUCK_RETURN_IF_ERROR(ReadBool(body, "ignore_eos", request.ignore_eos));
  if (const Json* options = FindKey(body, "stream_options")) {
    POTLUCK_RETURN_IF_ERROR(ReadBool(*options, "include_usage", request.include_usage));
  }
  return request;
}

}  // namespace potluck::coordinator
