#include "coordinator/api/http/completion_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace potluck::coordinator {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(CompletionRequest, TakesDefaults) {
  const auto request = ParseCompletionRequest(R"({"prompt": "leeks"})", CompletionKind::kText);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(std::get<std::string>(request->prompt), "leeks");
  EXPECT_EQ(request->model, "");
  EXPECT_EQ(request->max_tokens, -1);
  EXPECT_EQ(request->top_logprobs, -1);
  EXPECT_FALSE(request->stream);
  EXPECT_FALSE(request->ignore_eos);
  EXPECT_FALSE(request->sampling.temperature.has_value());
  EXPECT_FALSE(request->sampling.seed.has_value());
}

TEST(CompletionRequest, ReadsEveryField) {
  const auto request = ParseCompletionRequest(
      R"({"model": "demo", "prompt": [1, 2, 3], "temperature": 0.5, "top_p": 1, "min_p": 0,
          "repeat_penalty": 1.1, "presence_penalty": -2, "frequency_penalty": 2, "top_k": 40,
          "seed": 18446744073709551615, "logit_bias": {"7": -100}, "stop": ["a", "b"],
          "logprobs": 5, "max_tokens": 0, "stream": true, "ignore_eos": true,
          "stream_options": {"include_usage": true}, "user": "who", "n": null})",
      CompletionKind::kText);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->model, "demo");
  EXPECT_THAT(std::get<std::vector<model::TokenId>>(request->prompt), ElementsAre(1, 2, 3));
  EXPECT_EQ(request->sampling.temperature, 0.5f);
  EXPECT_EQ(request->sampling.top_p, 1.0f);
  EXPECT_EQ(request->sampling.min_p, 0.0f);
  EXPECT_EQ(request->sampling.repeat_penalty, 1.1f);
  EXPECT_EQ(request->sampling.presence_penalty, -2.0f);
  EXPECT_EQ(request->sampling.frequency_penalty, 2.0f);
  EXPECT_EQ(request->sampling.top_k, 40);
  EXPECT_EQ(request->sampling.seed, 18446744073709551615u);
  EXPECT_THAT(request->sampling.logit_bias, ElementsAre(Pair(7, -100.0f)));
  EXPECT_THAT(request->stop, ElementsAre("a", "b"));
  EXPECT_EQ(request->top_logprobs, 5);
  EXPECT_EQ(request->max_tokens, 0);
  EXPECT_TRUE(request->stream);
  EXPECT_TRUE(request->include_usage);
  EXPECT_TRUE(request->ignore_eos);
}

TEST(CompletionRequest, ReadsChats) {
  const auto request = ParseCompletionRequest(
      R"({"messages": [{"role": "user", "content": "hi"}], "logprobs": true, "top_logprobs": 2,
          "max_completion_tokens": 7, "max_tokens": 9, "stop": "x"})",
      CompletionKind::kChat);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(std::get<nlohmann::ordered_json>(request->prompt).dump(),
            R"([{"role":"user","content":"hi"}])");
  EXPECT_EQ(request->top_logprobs, 2);
  EXPECT_EQ(request->max_tokens, 7);
  EXPECT_THAT(request->stop, ElementsAre("x"));
}

TEST(CompletionRequest, NamesTheBadField) {
  for (const auto& [body, what] : std::vector<std::pair<std::string, std::string>>{
           {"", "the body"},
           {"[]", "the body"},
           {R"({"prompt": "a", "prompt": "b"})", "the body"},
           {"{}", "prompt must be"},
           {R"({"prompt": 7})", "prompt must be"},
           {R"({"prompt": ["a"]})", "prompt must be"},
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
           {R"({"messages": [{"role": "user", "content": 7}]})", "messages must be"},
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
