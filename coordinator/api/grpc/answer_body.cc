#include "coordinator/api/grpc/answer_body.h"

#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "coordinator/api/json_text.h"
#include "coordinator/api/request_fields.h"
#include "model/bounded_json.h"

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMostBiases = 1024;

// Of a field that is an object's JSON.
absl::StatusOr<ordered_json> ObjectOf(const std::string& text, std::string_view field) {
  const auto object = model::ParseJsonObject(text, std::string(field));
  if (!object.ok()) return BadField(field, "the text of a JSON object");
  POTLUCK_RETURN_IF_ERROR(CheckMembers(*object, field));
  return ordered_json::parse(text);
}

// As a person would write it: 0.01, not what is left of it in a float.
absl::StatusOr<double> NumberOf(float value, std::string_view field) {
  if (!std::isfinite(value)) return BadField(field, "a finite number");
  char text[32];
  const auto end = std::to_chars(std::begin(text), std::end(text), value);
  double number = value;
  std::from_chars(std::begin(text), end.ptr, number);
  return number;
}

absl::Status AddNumbers(const v1::AnswerOptions& options, ordered_json& body) {
  const auto add = [&body](bool has, const char* field, float value) {
    if (!has) return absl::OkStatus();
    POTLUCK_ASSIGN_OR_RETURN(body[field], NumberOf(value, field));
    return absl::OkStatus();
  };
  POTLUCK_RETURN_IF_ERROR(add(options.has_temperature(), "temperature", options.temperature()));
  POTLUCK_RETURN_IF_ERROR(add(options.has_top_p(), "top_p", options.top_p()));
  POTLUCK_RETURN_IF_ERROR(add(options.has_min_p(), "min_p", options.min_p()));
  POTLUCK_RETURN_IF_ERROR(
      add(options.has_repeat_penalty(), "repeat_penalty", options.repeat_penalty()));
  POTLUCK_RETURN_IF_ERROR(
      add(options.has_presence_penalty(), "presence_penalty", options.presence_penalty()));
  POTLUCK_RETURN_IF_ERROR(
      add(options.has_frequency_penalty(), "frequency_penalty", options.frequency_penalty()));
  if (options.logit_bias().size() > kMostBiases)
    return BadField("logit_bias", absl::StrCat("at most ", kMostBiases, " token ids"));
  for (const auto& [id, bias] : options.logit_bias()) {
    POTLUCK_ASSIGN_OR_RETURN(body["logit_bias"][std::to_string(id)], NumberOf(bias, "logit_bias"));
  }
  return absl::OkStatus();
}

absl::Status AddOptions(const v1::AnswerOptions& options, ordered_json& body) {
  if (options.has_max_tokens()) body["max_tokens"] = options.max_tokens();
  if (options.n() != 0) body["n"] = options.n();
  if (options.stop_size() > 0)
    body["stop"] = std::vector<std::string>(options.stop().begin(), options.stop().end());
  if (options.has_top_k()) body["top_k"] = options.top_k();
  if (options.has_seed()) body["seed"] = options.seed();
  POTLUCK_RETURN_IF_ERROR(AddNumbers(options, body));
  if (!options.grammar().empty()) body["grammar"] = options.grammar();
  if (!options.json_schema().empty()) {
    POTLUCK_ASSIGN_OR_RETURN(body["json_schema"], ObjectOf(options.json_schema(), "json_schema"));
  }
  body["ignore_eos"] = options.ignore_eos();
  body["stream"] = true;
  body["return_progress"] = options.progress();
  return absl::OkStatus();
}

ordered_json MessageJson(const v1::ChatMessage& message) {
  ordered_json json = {{"role", message.role()}, {"content", nullptr}};
  if (message.has_content()) json["content"] = message.content();
  if (!message.name().empty()) json["name"] = message.name();
  if (!message.reasoning_content().empty()) json["reasoning_content"] = message.reasoning_content();
  for (const v1::ToolCall& call : message.tool_calls()) {
    ordered_json function = {{"name", call.name()}, {"arguments", call.arguments()}};
    json["tool_calls"].push_back({{"id", call.id()}, {"function", std::move(function)}});
  }
  if (!message.tool_call_id().empty()) json["tool_call_id"] = message.tool_call_id();
  return json;
}

absl::StatusOr<ordered_json> ToolJson(const v1::Tool& tool) {
  ordered_json function = {{"name", tool.name()}, {"strict", tool.strict()}};
  if (!tool.description().empty()) function["description"] = tool.description();
  if (!tool.parameters().empty()) {
    POTLUCK_ASSIGN_OR_RETURN(function["parameters"], ObjectOf(tool.parameters(), "parameters"));
  }
  return ordered_json{{"type", "function"}, {"function", std::move(function)}};
}

ordered_json ToolChoiceJson(const std::string& choice) {
  if (choice == "none" || choice == "auto" || choice == "required") return choice;
  return {{"type", "function"}, {"function", {{"name", choice}}}};
}

}  // namespace

absl::StatusOr<std::string> CompletionBody(const v1::GenerateRequest& request) {
  ordered_json body = {{"model", request.model()}};
  switch (request.prompt().prompt_case()) {
    case v1::Prompt::kText:
      body["prompt"] = request.prompt().text();
      break;
    case v1::Prompt::kTokens:
      body["prompt"] = std::vector<uint32_t>(request.prompt().tokens().ids().begin(),
                                             request.prompt().tokens().ids().end());
      break;
    case v1::Prompt::PROMPT_NOT_SET:
      return BadField("prompt", "a text or tokens");
  }
  body["logprobs"] = nullptr;
  if (request.options().has_top_logprobs()) body["logprobs"] = request.options().top_logprobs();
  POTLUCK_RETURN_IF_ERROR(AddOptions(request.options(), body));
  return Dump(body);
}

absl::StatusOr<std::string> CompletionBody(const v1::ChatRequest& request) {
  ordered_json body = {{"model", request.model()}, {"messages", ordered_json::array()}};
  for (const v1::ChatMessage& message : request.messages())
    body["messages"].push_back(MessageJson(message));
  for (const v1::Tool& tool : request.tools()) {
    POTLUCK_ASSIGN_OR_RETURN(ordered_json json, ToolJson(tool));
    body["tools"].push_back(std::move(json));
  }
  if (!request.tool_choice().empty()) body["tool_choice"] = ToolChoiceJson(request.tool_choice());
  if (request.has_parallel_tool_calls())
    body["parallel_tool_calls"] = request.parallel_tool_calls();
  if (!request.reasoning_effort().empty()) body["reasoning_effort"] = request.reasoning_effort();
  if (!request.chat_template_kwargs().empty()) {
    POTLUCK_ASSIGN_OR_RETURN(body["chat_template_kwargs"],
                             ObjectOf(request.chat_template_kwargs(), "chat_template_kwargs"));
  }
  if (request.options().has_top_logprobs()) {
    body["logprobs"] = true;
    body["top_logprobs"] = request.options().top_logprobs();
  }
  POTLUCK_RETURN_IF_ERROR(AddOptions(request.options(), body));
  return Dump(body);
}

absl::StatusOr<Prompt> PromptOf(const v1::Prompt& prompt) {
  if (prompt.has_text()) return Prompt(prompt.text());
  std::vector<model::TokenId> ids;
  ids.reserve(static_cast<size_t>(prompt.tokens().ids_size()));
  for (const uint32_t id : prompt.tokens().ids()) {
    if (id > static_cast<uint32_t>(std::numeric_limits<model::TokenId>::max()))
      return BadField("inputs", "texts or token ids");
    ids.push_back(static_cast<model::TokenId>(id));
  }
  return Prompt(std::move(ids));
}

}  // namespace potluck::coordinator
