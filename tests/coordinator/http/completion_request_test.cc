#include "coordinator/api/http/completion_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace potluck::coordinator {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

const nlohmann::ordered_json& MessagesOf(const CompletionRequest& request) {
  return std::get<Conversation>(request.answer.prompts.at(0)).messages;
}

TEST(CompletionRequest, TakesDefaults) {
  const auto request = ParseCompletionRequest(R"({"prompt": "leeks"})", CompletionKind::kText);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(std::get<std::string>(request->answer.prompts.at(0)), "leeks");
  EXPECT_EQ(request->answer.model, "");
  EXPECT_EQ(request->answer.max_tokens, -1);
  EXPECT_EQ(request->answer.top_logprobs, -1);
  EXPECT_FALSE(request->stream);
  EXPECT_FALSE(request->answer.ignore_eos);
  EXPECT_FALSE(request->answer.sampling.temperature.has_value());
  EXPECT_FALSE(request->answer.sampling.seed.has_value());
}

TEST(CompletionRequest, ReadsEveryField) {
  const auto request = ParseCompletionRequest(
      R"({"model": "demo", "prompt": [1, 2, 3], "temperature": 0.5, "top_p": 1, "min_p": 0,
          "repeat_penalty": 1.1, "presence_penalty": -2, "frequency_penalty": 2, "top_k": 40,
          "seed": 18446744073709551615, "logit_bias": {"7": -100}, "stop": ["a", "b"],
          "logprobs": 5, "max_tokens": 0, "stream": true, "ignore_eos": true,
          "stream_options": {"include_usage": true}, "user": "who", "n": null,
          "return_progress": true, "timings_per_token": true, "best_of": 1, "echo": false})",
      CompletionKind::kText);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->answer.model, "demo");
  EXPECT_THAT(std::get<std::vector<model::TokenId>>(request->answer.prompts.at(0)),
              ElementsAre(1, 2, 3));
  EXPECT_EQ(request->answer.sampling.temperature, 0.5f);
  EXPECT_EQ(request->answer.sampling.top_p, 1.0f);
  EXPECT_EQ(request->answer.sampling.min_p, 0.0f);
  EXPECT_EQ(request->answer.sampling.repeat_penalty, 1.1f);
  EXPECT_EQ(request->answer.sampling.presence_penalty, -2.0f);
  EXPECT_EQ(request->answer.sampling.frequency_penalty, 2.0f);
  EXPECT_EQ(request->answer.sampling.top_k, 40);
  EXPECT_EQ(request->answer.sampling.seed, 18446744073709551615u);
  EXPECT_THAT(request->answer.sampling.logit_bias, ElementsAre(Pair(7, -100.0f)));
  EXPECT_THAT(request->answer.stop, ElementsAre("a", "b"));
  EXPECT_EQ(request->answer.top_logprobs, 5);
  EXPECT_EQ(request->answer.max_tokens, 0);
  EXPECT_TRUE(request->stream);
  EXPECT_TRUE(request->include_usage);
  EXPECT_TRUE(request->return_progress);
  EXPECT_TRUE(request->timings_per_token);
  EXPECT_TRUE(request->answer.tell_progress);
  EXPECT_EQ(request->answer.choices, 1);
  EXPECT_TRUE(request->answer.ignore_eos);
}

TEST(CompletionRequest, ReadsChats) {
  const auto request = ParseCompletionRequest(
      R"({"messages": [{"role": "user", "content": "hi"}], "logprobs": true, "top_logprobs": 2,
          "max_completion_tokens": 7, "max_tokens": 9, "stop": "x"})",
      CompletionKind::kChat);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(MessagesOf(*request).dump(), R"([{"role":"user","content":"hi"}])");
  EXPECT_EQ(request->answer.top_logprobs, 2);
  EXPECT_EQ(request->answer.max_tokens, 7);
  EXPECT_THAT(request->answer.stop, ElementsAre("x"));
}

TEST(CompletionRequest, ReadsWhatTemplatesKnow) {
  const auto request = ParseCompletionRequest(
      R"({"messages": [
            {"role": "developer", "content": [{"type": "text", "text": "be"},
                                              {"type": "text", "text": "brief"}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"function": {"name": "bake", "arguments": "{\"hours\": 1, \"at\": 200}"}, "id": "c1"},
                {"function": {"name": "wait", "arguments": "a while"}}]},
            {"role": "tool", "tool_call_id": "c1", "name": "oven", "content": "hot"}],
          "chat_template_kwargs": {"enable_thinking": false}, "reasoning_effort": "low",
          "reasoning_format": "none"})",
      CompletionKind::kChat);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(
      MessagesOf(*request).dump(),
      R"([{"role":"system","content":"be\nbrief"},)"
      R"({"role":"assistant","content":null,"tool_calls":[)"
      R"({"id":"c1","type":"function","function":{"name":"bake","arguments":{"hours":1,"at":200}}},)"
      R"({"type":"function","function":{"name":"wait","arguments":"a while"}}]},)"
      R"({"role":"tool","content":"hot","name":"oven","tool_call_id":"c1"}])");
  EXPECT_EQ(std::get<Conversation>(request->answer.prompts.at(0)).extra.dump(),
            R"({"reasoning_effort":"low","enable_thinking":false})");
  EXPECT_FALSE(request->answer.split_reasoning);
}

absl::StatusOr<CompletionRequest> WithTools(const std::string& fields) {
  return ParseCompletionRequest(
      R"({"messages": [{"role": "user", "content": "hi"}], )" + fields + "}",
      CompletionKind::kChat);
}

TEST(CompletionRequest, ReadsTools) {
  constexpr char kTools[] = R"("tools": [
      {"type": "function", "function": {"name": "bake", "description": "Bakes.", "strict": true,
           "parameters": {"type": "object", "properties": {"hours": {}, "at": {}}}}},
      {"type": "function", "function": {"name": "wait"}}])";
  const auto request = WithTools(kTools);
  ASSERT_TRUE(request.ok()) << request.status();
  const model::ToolUse& use = request->answer.tools;
  EXPECT_EQ(use.choice, model::ToolUse::Choice::kAuto);
  EXPECT_TRUE(use.parallel);
  ASSERT_EQ(use.tools.size(), 2u);
  EXPECT_EQ(use.tools[0].name, "bake");
  EXPECT_EQ(use.tools[0].description, "Bakes.");
  EXPECT_TRUE(use.tools[0].strict);
  EXPECT_EQ(use.tools[0].parameters.dump(),
            R"({"type":"object","properties":{"hours":{},"at":{}}})");
  EXPECT_FALSE(use.tools[1].strict);
  const auto& described = std::get<Conversation>(request->answer.prompts.at(0)).tools;
  EXPECT_EQ(described[1].dump(), R"({"type":"function","function":{"name":"wait"}})");

  const auto one = WithTools(
      std::string(kTools) +
      R"(, "parallel_tool_calls": false, "tool_choice": {"type": "function", "function": {"name": "wait"}})");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->answer.tools.choice, model::ToolUse::Choice::kRequired);
  EXPECT_EQ(one->answer.tools.only, "wait");
  EXPECT_FALSE(one->answer.tools.parallel);
  const auto none = WithTools(std::string(kTools) + R"(, "tool_choice": "none")");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->answer.tools.may_call());
  EXPECT_TRUE(WithTools(R"("tools": [], "tool_choice": "auto")").ok());
}

TEST(CompletionRequest, RefusesWhatIsNoTool) {
  const std::pair<const char*, const char*> kBad[] = {
      {R"("tools": {"a": 1})", "tools"},
      {R"("tools": 3)", "tools"},
      {R"("tools": [{"type": "web_search"}])", "tools"},
      {R"("tools": [{"type": "function", "function": "bake"}])", "tools"},
      {R"("tools": [{"type": "function", "function": {"name": ""}}])", "names"},
      {R"("tools": [{"type": "function", "function": {"name": "a\"b"}}])", "names"},
      {R"("tools": [{"type": "function", "function": {"name": "a", "parameters": []}}])", "Schema"},
      {R"("tool_choice": "required")", "no tools"},
      {R"("tools": [{"function": {"name": "a"}}], "tool_choice": "some")", "tool_choice"},
      {R"("tools": [{"function": {"name": "a"}}], "tool_choice": {"type": "allowed_tools"})",
       "tool_choice"},
      {R"("tools": [{"function": {"name": "a"}}], "grammar": "root ::= []")", "grammar"},
      {R"("function_call": "auto")", "function_call"}};
  for (const auto& [fields, says] : kBad) {
    const auto request = WithTools(fields);
    EXPECT_FALSE(request.ok()) << fields;
    EXPECT_THAT(request.status().message(), HasSubstr(says)) << fields;
  }
}

TEST(CompletionRequest, TakesSeveralPrompts) {
  const auto request =
      ParseCompletionRequest(R"({"prompt": ["a", [1, 2], "b"], "n": 2})", CompletionKind::kText);
  ASSERT_TRUE(request.ok()) << request.status();
  ASSERT_EQ(request->answer.prompts.size(), 3u);
  EXPECT_EQ(std::get<std::string>(request->answer.prompts[0]), "a");
  EXPECT_THAT(std::get<std::vector<model::TokenId>>(request->answer.prompts[1]), ElementsAre(1, 2));
  EXPECT_EQ(std::get<std::string>(request->answer.prompts[2]), "b");
  EXPECT_EQ(request->answer.choices, 2);
}

TEST(CompletionRequest, TakesTheStrongestLimit) {
  for (const auto& [fields, limit] : std::vector<std::pair<std::string, int64_t>>{
           {R"("max_tokens": 9)", 9},
           {R"("max_tokens": 9, "max_completion_tokens": 7)", 7},
           {R"("n_predict": 5, "max_tokens": 9, "max_completion_tokens": 7)", 5}}) {
    const auto request =
        ParseCompletionRequest(R"({"prompt": "a", )" + fields + "}", CompletionKind::kText);
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(request->answer.max_tokens, limit) << fields;
  }
}

TEST(CompletionRequest, NamesTheBadField) {
  for (const auto& [body, what] : std::vector<std::pair<std::string, std::string>>{
           {"", "the body"},
           {"[]", "the body"},
           {R"({"prompt": "a", "prompt": "b"})", "the body"},
           {"{}", "prompt must be"},
           {R"({"prompt": 7})", "prompt must be"},
           {R"({"prompt": ["a", 7]})", "prompt must be"},
           {R"({"prompt": ["a", ["b"]]})", "prompt must be"},
           {R"({"prompt": [-1]})", "prompt must be"},
           {R"({"prompt": [2147483648]})", "prompt must be"},
           {R"({"prompt": "a", "model": 1})", "model must be"},
           {R"({"prompt": "a", "temperature": -0.1})", "temperature must be"},
           {R"({"prompt": "a", "temperature": "hot"})", "temperature must be"},
           {R"({"prompt": "a", "temperature": 1e999})", "the body"},
           {R"({"prompt": "a", "top_p": 1.1})", "top_p must be"},
           {R"({"prompt": "a", "top_k": 1.5})", "top_k must be"},
           {R"({"prompt": "a", "seed": 1.5})", "seed must be"},
           {R"({"prompt": "a", "max_tokens": -2})", "max_tokens must be"},
           {R"({"prompt": "a", "stop": [1]})", "stop must be"},
           {R"({"prompt": "a", "stop": {"a": 1}})", "stop must be"},
           {R"({"prompt": "a", "logit_bias": {"x": 1}})", "logit_bias must be"},
           {R"({"prompt": "a", "logit_bias": {"1": 101}})", "logit_bias must be"},
           {R"({"prompt": "a", "logprobs": 21})", "logprobs must be"},
           {R"({"prompt": "a", "stream": 1})", "stream must be"},
           {R"({"prompt": "a", "n": 17})", "n must be"},
           {R"({"prompt": "a", "n": 0})", "n must be"},
           {R"({"prompt": "a", "best_of": 2})", "best_of must be"},
           {R"({"prompt": "a", "echo": true})", "echo must be"},
           {R"({"prompt": "a", "suffix": "b"})", "suffix must be"},
           {R"({"prompt": "a", "return_progress": "b"})", "return_progress must be"},
       }) {
    const auto request = ParseCompletionRequest(body, CompletionKind::kText);
    ASSERT_FALSE(request.ok()) << body;
    EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(request.status().message()), HasSubstr(what)) << body;
  }
  for (const auto& [body, what] : std::vector<std::pair<std::string, std::string>>{
           {R"({"prompt": "a"})", "messages must be"},
           {R"({"messages": []})", "messages must be"},
           {R"({"messages": [{"role": "user"}]})", "messages must be"},
           {R"({"messages": [{"role": "user", "content": 7}]})", "content must be"},
           {R"({"messages": [{"role": "user", "content": null}]})", "messages must be"},
           {R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})",
            "content must be"},
           {R"({"messages": [{"role": "user", "content": "a"}], "chat_template_kwargs": 1})",
            "chat_template_kwargs must be"},
           {R"({"messages": [{"role": "user", "content": "a"}], "reasoning_format": "x"})",
            "reasoning_format must be"},
           {R"({"messages": [{"role": "user", "content": "a"}], "top_logprobs": 3})",
            "logprobs must be"},
       }) {
    const auto request = ParseCompletionRequest(body, CompletionKind::kChat);
    ASSERT_FALSE(request.ok()) << body;
    EXPECT_THAT(std::string(request.status().message()), HasSubstr(what)) << body;
  }
}

}  // namespace
}  // namespace potluck::coordinator
