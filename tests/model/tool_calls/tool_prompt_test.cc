#include "model/tool_calls/tool_prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "model/tool_calls/tool_format.h"

namespace potluck::model {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ToolFormat FormatOf(const std::string& file) {
  std::ifstream text(POTLUCK_SOURCE_DIR "/tests/golden/chat_template/templates/" + file + ".jinja");
  std::string source(std::istreambuf_iterator<char>(text), {});
  EXPECT_FALSE(source.empty()) << file;
  const auto parsed = ChatTemplate::Parse(std::move(source));
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return ToolFormatOf(*parsed);
}

TEST(ToolFormat, OfTheModelsThatPeopleHave) {
  for (const char* file : {"Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B",
                           "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use"})
    EXPECT_EQ(FormatOf(file), ToolFormat::kHermes) << file;
  for (const char* file :
       {"mistralai-Mistral-Nemo-Instruct-2407", "mistralai-Mistral-Large-Instruct-2407"})
    EXPECT_EQ(FormatOf(file), ToolFormat::kMistral) << file;
  for (const char* file : {"meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct"})
    EXPECT_EQ(FormatOf(file), ToolFormat::kLlama3) << file;
  for (const char* file : {"google-gemma-2-2b-it", "microsoft-phi-4", "Qwen3-Coder", "GLM-4.6",
                           "HuggingFaceH4-zephyr-7b-beta", "meta-llama-Meta-Llama-3-8B-Instruct",
                           "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
                           "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"})
    EXPECT_EQ(FormatOf(file), ToolFormat::kGeneric) << file;
  EXPECT_EQ(ToolFormatOf(ChatTemplate::ChatMl()), ToolFormat::kGeneric);
}

ToolUse Tools() {
  ToolUse use;
  use.choice = ToolUse::Choice::kAuto;
  use.tools = {
      {.name = "weather", .description = "Tells the weather.", .parameters = {{"type", "object"}}}};
  return use;
}

TEST(ToolPrompt, DescribesToolsInTheSystemMessage) {
  ChatInput input;
  input.messages = ordered_json::parse(
      R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Rain?"}])");
  input.tools = ordered_json::array({1});
  DescribeTools(Tools(), ToolPrompt::kInSystemMessage, input);
  ASSERT_EQ(input.messages.size(), 2u);
  const std::string system = input.messages[0]["content"];
  EXPECT_THAT(system, StartsWith("Be brief.\n\n"));
  EXPECT_THAT(system, HasSubstr(R"({"name": "weather", "description": "Tells the weather.",)"));
  EXPECT_THAT(system, HasSubstr(R"({"tool_calls": [{"name": )"));
  EXPECT_EQ(input.messages[1]["content"], "Rain?");
  EXPECT_TRUE(input.tools.is_null());

  input.messages = ordered_json::parse(R"([{"role": "user", "content": "Rain?"}])");
  DescribeTools(Tools(), ToolPrompt::kInSystemMessage, input);
  ASSERT_EQ(input.messages.size(), 2u);
  EXPECT_EQ(input.messages[0]["role"], "system");
  EXPECT_EQ(input.messages[1]["content"], "Rain?");
}

TEST(ToolPrompt, DescribesToolsToTemplatesWithoutSystemMessages) {
  ChatInput input;
  input.messages = ordered_json::parse(R"([{"role": "user", "content": "Rain?"}])");
  DescribeTools(Tools(), ToolPrompt::kInFirstUserMessage, input);
  ASSERT_EQ(input.messages.size(), 1u);
  const std::string said = input.messages[0]["content"];
  EXPECT_THAT(said, StartsWith("You can call these functions:\n"));
  EXPECT_TRUE(said.ends_with("\n\nRain?"));
}

TEST(ToolPrompt, CallsAndResultsBecomeTurns) {
  ChatInput input;
  input.messages = ordered_json::parse(R"([
      {"role": "user", "content": "Rain?"},
      {"role": "assistant", "content": null, "tool_calls": [
          {"id": "a", "type": "function", "function": {"name": "weather", "arguments": {"city": "Graz"}}},
          {"id": "b", "type": "function", "function": {"name": "time", "arguments": {}}}]},
      {"role": "tool", "tool_call_id": "a", "content": "dry"},
      {"role": "tool", "tool_call_id": "b", "content": "noon"},
      {"role": "user", "content": "Thanks."}])");
  DescribeTools({}, ToolPrompt::kInSystemMessage, input);
  EXPECT_EQ(input.messages, ordered_json::parse(R"([
      {"role": "user", "content": "Rain?"},
      {"role": "assistant", "content":
          "{\"tool_calls\": [{\"name\": \"weather\", \"arguments\": {\"city\": \"Graz\"}}, {\"name\": \"time\", \"arguments\": {}}]}"},
      {"role": "user", "content": "weather returned:\ndry\n\ntime returned:\nnoon"},
      {"role": "user", "content": "Thanks."}])"));
}

}  // namespace
}  // namespace potluck::model
