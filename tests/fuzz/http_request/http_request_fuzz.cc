// Any bytes as what a client of the HTTP API sends: bodies of every endpoint, a query, a file of
// keys. What passes keeps to the limits that the parsers promise, and its answer can be written.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <variant>

#include "coordinator/api/http/access.h"
#include "coordinator/api/http/completion_request.h"
#include "coordinator/api/http/embedding_request.h"
#include "coordinator/api/http/plan_answers.h"
#include "coordinator/api/http/text_answers.h"
#include "coordinator/api/json_text.h"
#include "coordinator/api/load_request.h"
#include "model/grammar/grammar.h"
#include "model/tool_calls/tool_grammar.h"
#include "model/tool_calls/tool_prompt.h"

namespace potluck::coordinator {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckCompletion(std::string_view body, CompletionKind kind) {
  const auto request = ParseCompletionRequest(body, kind);
  if (!request.ok()) return;
  const AnswerRequest& answer = request->answer;
  Check(!answer.prompts.empty() && answer.prompts.size() <= 32);
  Check(answer.choices >= 1 && answer.choices <= 16);
  Check(answer.max_tokens >= -1 && answer.top_logprobs <= 20 && answer.stop.size() <= 16);
  for (const Prompt& prompt : answer.prompts) {
    const auto* conversation = std::get_if<Conversation>(&prompt);
    Check((conversation != nullptr) == (kind == CompletionKind::kChat));
    if (conversation == nullptr) continue;
    Check(conversation->messages.is_array() && conversation->extra.is_object());
    Dump(conversation->messages);
  }
  if (!answer.tools.may_call()) return;
  for (const auto format : {model::ToolFormat::kGeneric, model::ToolFormat::kHermes,
                            model::ToolFormat::kMistral, model::ToolFormat::kLlama3}) {
    const auto grammar = ToolGrammar(answer.tools, format, answer.schema);
    if (grammar.ok()) model::ParseGbnf(*grammar).IgnoreError();
  }
  model::ChatInput input{.messages = std::get<Conversation>(answer.prompts.front()).messages};
  DescribeTools(answer.tools, model::ToolPrompt::kInSystemMessage, input);
  Check(input.messages.is_array());
}

void CheckEmbedding(std::string_view body) {
  const auto question = ParseEmbeddingRequest(body);
  if (!question.ok()) return;
  const std::vector<Prompt>& inputs = question->request.inputs;
  Check(!inputs.empty() && inputs.size() <= 2048);
  for (const Prompt& input : inputs) Check(!std::holds_alternative<Conversation>(input));
  Check(question->dimensions.value_or(1) >= 1);
}

}  // namespace
}  // namespace potluck::coordinator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace potluck::coordinator;  // NOLINT(google-build-using-namespace): one function
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  CheckCompletion(body, CompletionKind::kText);
  CheckCompletion(body, CompletionKind::kChat);
  CheckEmbedding(body);
  for (const auto kind : {TextQuestion::Kind::kTokenize, TextQuestion::Kind::kDetokenize,
                          TextQuestion::Kind::kApplyTemplate})
    ParseTextQuestion(body, kind).IgnoreError();
  if (const auto load = ParseLoadRequest(body); load.ok()) {
    Check(ParseLoadRequest(ToJson(*load)).ok());
  }
  ParsePlansAsked(body).IgnoreError();
  if (const auto keys = ParseApiKeys(body); keys.ok()) {
    for (const ApiKey& key : *keys) Check(!key.name.empty() && key.key.size() >= 8);
  }
  return 0;
}
