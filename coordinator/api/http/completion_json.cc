#include "coordinator/api/http/completion_json.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

// {"content": [{"id", "token", "logprob", "bytes", "top_logprobs"}]}
ordered_json ChatLogprobs(const CompletionChoice& choice, const model::Tokenizer& tokenizer) {
  ordered_json content = ordered_json::array();
  for (const ChosenToken& chosen : choice.tokens) {
    if (chosen.logprobs.empty()) continue;
    ordered_json token = LogprobJson(chosen.logprobs.front(), tokenizer);
    token["top_logprobs"] = ordered_json::array();
    for (size_t i = 1; i < chosen.logprobs.size(); ++i)
      token["top_logprobs"].push_back(LogprobJson(chosen.logprobs[i], tokenizer));
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}};
}

// The bytes that begin characters.
size_t Characters(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

// OpenAI's {"tokens", "token_logprobs", "top_logprobs", "text_offset"}, each an array over the
// tokens, and llama-server's "content"
ordered_json TextLogprobs(const CompletionChoice& choice, const model::Tokenizer& tokenizer) {
  ordered_json logprobs = ChatLogprobs(choice, tokenizer);
  for (const char* array : {"tokens", "token_logprobs", "top_logprobs", "text_offset"})
    logprobs[array] = ordered_json::array();
  size_t offset = choice.text_offset;
  for (const ChosenToken& chosen : choice.tokens) {
    if (chosen.logprobs.empty()) continue;
    const std::string text(tokenizer.AnswerBytes(chosen.id));
    ordered_json top = ordered_json::object();
    for (size_t i = 1; i < chosen.logprobs.size(); ++i)
      top[std::string(tokenizer.AnswerBytes(chosen.logprobs[i].id))] = chosen.logprobs[i].logprob;
    logprobs["tokens"].push_back(text);
    logprobs["token_logprobs"].push_back(chosen.logprobs.front().logprob);
    logprobs["top_logprobs"].push_back(std::move(top));
    logprobs["text_offset"].push_back(offset);
    offset += Characters(text);
  }
  return logprobs;
}

ordered_json Logprobs(CompletionKind kind, const CompletionChoice& choice,
                      const model::Tokenizer& tokenizer) {
  if (!choice.has_logprobs) return nullptr;
  return kind == CompletionKind::kChat ? ChatLogprobs(choice, tokenizer)
                                       : TextLogprobs(choice, tokenizer);
}

// {"id", "type", "function": {"name", "arguments"}}, of a chunk what is new of it.
ordered_json CallsJson(const std::vector<AnswerCall>& calls, bool chunk) {
  ordered_json json = ordered_json::array();
  for (const AnswerCall& call : calls) {
    ordered_json& one = json.emplace_back(ordered_json::object());
    if (chunk) one["index"] = call.index;
    if (!call.name.empty()) {
      one["id"] = call.id;
      one["type"] = "function";
      one["function"]["name"] = call.name;
    }
    one["function"]["arguments"] = call.arguments;
  }
  return json;
}

ordered_json FinishReason(const CompletionChoice& choice) {
  return choice.finish_reason == nullptr ? ordered_json() : ordered_json(choice.finish_reason);
}

double Milliseconds(absl::Duration time) { return absl::ToDoubleMilliseconds(time); }

ordered_json PerSecond(int64_t count, absl::Duration time) {
  if (count <= 0 || time <= absl::ZeroDuration()) return nullptr;
  return static_cast<double>(count) / absl::ToDoubleSeconds(time);
}

ordered_json PerToken(int64_t count, absl::Duration time) {
  if (count <= 0) return nullptr;
  return Milliseconds(time) / static_cast<double>(count);
}

}  // namespace

ordered_json LogprobJson(const model::TokenLogprob& token, const model::Tokenizer& tokenizer) {
  const auto bytes = tokenizer.AnswerBytes(token.id);
  return {{"id", token.id},
          {"token", tokenizer.TokenText(token.id)},
          {"logprob", token.logprob},
          {"bytes", std::vector<uint8_t>(bytes.begin(), bytes.end())}};
}

ordered_json CompletionEnvelope(CompletionKind kind, const Answer::Head& head,
                                const std::string& fingerprint, bool chunk) {
  const char* object = "text_completion";
  if (kind == CompletionKind::kChat) object = chunk ? "chat.completion.chunk" : "chat.completion";
  return {{"id", head.id},
          {"object", object},
          {"created", head.created},
          {"model", head.model_name},
          {"system_fingerprint", fingerprint}};
}

ordered_json WholeChoice(CompletionKind kind, const CompletionChoice& choice,
                         const model::Tokenizer& tokenizer) {
  ordered_json json = {{"index", choice.index}};
  if (kind == CompletionKind::kText) {
    json["text"] = choice.text;
  } else {
    json["message"] = {{"role", "assistant"}, {"content", choice.text}};
    if (!choice.reasoning.empty()) json["message"]["reasoning_content"] = choice.reasoning;
    if (!choice.calls.empty()) {
      if (choice.text.empty()) json["message"]["content"] = nullptr;
      json["message"]["tool_calls"] = CallsJson(choice.calls, /*chunk=*/false);
    }
  }
  json["logprobs"] = Logprobs(kind, choice, tokenizer);
  json["finish_reason"] = FinishReason(choice);
  return json;
}

ordered_json ChunkChoice(CompletionKind kind, const CompletionChoice& choice,
                         const model::Tokenizer& tokenizer) {
  ordered_json json = {{"index", choice.index}};
  if (kind == CompletionKind::kText) {
    json["text"] = choice.text;
  } else {
    json["delta"] = ordered_json::object();
    if (!choice.reasoning.empty()) json["delta"]["reasoning_content"] = choice.reasoning;
    if (!choice.text.empty()) json["delta"]["content"] = choice.text;
    if (!choice.calls.empty())
      json["delta"]["tool_calls"] = CallsJson(choice.calls, /*chunk=*/true);
  }
  json["logprobs"] = Logprobs(kind, choice, tokenizer);
  json["finish_reason"] = FinishReason(choice);
  return json;
}

ordered_json RoleChoice(int index) {
  return {{"index", index},
          {"delta", {{"role", "assistant"}, {"content", nullptr}}},
          {"logprobs", nullptr},
          {"finish_reason", nullptr}};
}

ordered_json UsageJson(const AnswerUsage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.generated_tokens},
          {"total_tokens", usage.prompt_tokens + usage.generated_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

ordered_json TimingsJson(const AnswerUsage& usage) {
  const int64_t computed = usage.prompt_tokens - usage.cached_tokens;
  // The first token is the prompt's last step.
  const int64_t decoded = usage.generated_tokens - 1;
  ordered_json stages = ordered_json::array();
  for (const AnswerUsage::Stage& stage : usage.stages)
    stages.push_back({{"worker", stage.worker},
                      {"device", stage.device},
                      {"layers", {stage.first_layer, stage.last_layer}},
                      {"steps", stage.steps},
                      {"computing_ms", stage.computing_seconds * 1e3},
                      {"waiting_ms", stage.waiting_seconds * 1e3}});
  return {{"cache_n", usage.cached_tokens},
          {"prompt_n", computed},
          {"prompt_ms", Milliseconds(usage.prompt_time)},
          {"prompt_per_token_ms", PerToken(computed, usage.prompt_time)},
          {"prompt_per_second", PerSecond(computed, usage.prompt_time)},
          {"predicted_n", usage.generated_tokens},
          {"predicted_ms", Milliseconds(usage.generation_time)},
          {"predicted_per_token_ms", PerToken(decoded, usage.generation_time)},
          {"predicted_per_second", PerSecond(decoded, usage.generation_time)},
          {"queue_ms", Milliseconds(usage.queue_time)},
          {"stages", std::move(stages)}};
}

ordered_json ProgressJson(const PromptProgress& progress) {
  return {{"total", progress.prompt_tokens},
          {"cache", progress.cached_tokens},
          {"processed", progress.computed_tokens},
          {"time_ms", Milliseconds(progress.time)}};
}

size_t CharactersOf(const std::vector<ChosenToken>& tokens, const model::Tokenizer& tokenizer) {
  size_t count = 0;
  for (const ChosenToken& token : tokens) count += Characters(tokenizer.AnswerBytes(token.id));
  return count;
}

}  // namespace potluck::coordinator
