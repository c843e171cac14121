#include "model/tool_calls/tool_call_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace potluck::model {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// All pieces joined.
struct Read {
  std::string text;
  std::vector<std::pair<std::string, std::string>> calls;  // names and arguments

  void Add(const ToolCallText::Piece& piece) {
    text += piece.text;
    for (const ToolCallText::Call& call : piece.calls) {
      if (!call.name.empty()) calls.emplace_back(call.name, "");
      ASSERT_EQ(static_cast<size_t>(call.index) + 1, calls.size());
      calls.back().second += call.arguments;
    }
  }
  friend bool operator==(const Read&, const Read&) = default;
};

Read ReadAt(ToolFormat format, std::string_view answer, const std::vector<size_t>& cuts) {
  ToolCallText reader(format, {"weather", "time"});
  Read read;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    read.Add(reader.Feed(answer.substr(begin, cut - begin)));
    begin = cut;
  }
  read.Add(reader.Feed(answer.substr(begin)));
  read.Add(reader.Flush());
  return read;
}

// However it is cut.
Read ReadAll(ToolFormat format, std::string_view answer) {
  const Read whole = ReadAt(format, answer, {});
  std::vector<size_t> everywhere;
  for (size_t i = 1; i < answer.size(); ++i) everywhere.push_back(i);
  EXPECT_EQ(ReadAt(format, answer, everywhere), whole) << answer;
  std::mt19937 random(7);
  for (int i = 0; i < 20; ++i) {
    std::vector<size_t> cuts;
    for (const size_t cut : everywhere) {
      if (random() % 5 == 0) cuts.push_back(cut);
    }
    EXPECT_EQ(ReadAt(format, answer, cuts), whole) << answer;
  }
  return whole;
}

TEST(ToolCallText, HermesCallsAfterText) {
  const Read read = ReadAll(ToolFormat::kHermes,
                            "Let me see.\n\n<tool_call>\n{\"name\": \"weather\", \"arguments\": "
                            "{\"city\": \"Graz}\\\"\", \"days\": [1, 2]}}\n</tool_call>\n"
                            "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>\n");
  EXPECT_EQ(read.text, "Let me see.");
  EXPECT_THAT(read.calls, ElementsAre(Pair("weather", R"({"city": "Graz}\"", "days": [1, 2]})"),
                                      Pair("time", "{}")));
}

TEST(ToolCallText, ACallIsToldWhileItComes) {
  ToolCallText reader(ToolFormat::kHermes, {"weather"});
  EXPECT_TRUE(reader.Feed("<tool_call>\n{\"name\": \"weather\", \"arguments\": ").calls.empty());
  const auto begun = reader.Feed("{\"city\": \"Gr").calls;
  ASSERT_EQ(begun.size(), 1u);
  EXPECT_EQ(begun[0].name, "weather");
  EXPECT_EQ(begun[0].arguments, "{\"city\": \"Gr");
  const auto more = reader.Feed("az\"").calls;
  ASSERT_EQ(more.size(), 1u);
  EXPECT_EQ(more[0].name, "");
  EXPECT_EQ(more[0].arguments, "az\"");
  const auto rest = reader.Flush();  // cut off by a limit
  EXPECT_TRUE(rest.text.empty() && rest.calls.empty());
}

TEST(ToolCallText, AFurtherCallThatIsCutOffIsNoText) {
  const Read read =
      ReadAll(ToolFormat::kGeneric,
              R"({"tool_calls": [{"name": "time", "arguments": {}}, {"name": "weather", "argum)");
  EXPECT_EQ(read.text, "");
  EXPECT_THAT(read.calls, ElementsAre(Pair("time", "{}")));
}

TEST(ToolCallText, MistralCallsInAList) {
  for (
      const std::string_view answer :
      {R"([TOOL_CALLS][{"name": "weather", "arguments": {"city": "Graz"}}, {"name": "time", "arguments": {}}])",
       R"( [TOOL_CALLS] [{"name":"weather","arguments":{"city": "Graz"},"id":"abcdefghi"},{"arguments": {}, "name": "time"}])"}) {
    const Read read = ReadAll(ToolFormat::kMistral, answer);
    EXPECT_EQ(read.text, "");
    EXPECT_THAT(read.calls,
                ElementsAre(Pair("weather", R"({"city": "Graz"})"), Pair("time", "{}")));
  }
}

TEST(ToolCallText, Llama3CallsAreTheWholeAnswer) {
  for (const std::string_view answer :
       {R"({"name": "weather", "parameters": {"city": "Graz"}})",
        R"(<|python_tag|>{"name": "weather", "parameters": {"city": "Graz"}})",
        "\n{ \"name\" : \"weather\", \"arguments\":{\"city\": \"Graz\"} }\n"}) {
    const Read read = ReadAll(ToolFormat::kLlama3, answer);
    EXPECT_EQ(read.text, "") << answer;
    EXPECT_THAT(read.calls, ElementsAre(Pair("weather", R"({"city": "Graz"})")));
  }
  const Read two =
      ReadAll(ToolFormat::kLlama3,
              R"({"name": "time", "parameters": {}}; {"type": "function", "function": )"
              R"({"name": "weather", "parameters": "{\"city\": 1}"}})");
  EXPECT_THAT(two.calls, ElementsAre(Pair("time", "{}"), Pair("weather", R"({"city": 1})")));
}

TEST(ToolCallText, GenericCallsInOneObject) {
  const Read read = ReadAll(
      ToolFormat::kGeneric,
      R"({"tool_calls": [{"name": "weather", "arguments": {"city": "Graz"}}, {"name": "time", "arguments": {}}]})");
  EXPECT_EQ(read.text, "");
  EXPECT_THAT(read.calls, ElementsAre(Pair("weather", R"({"city": "Graz"})"), Pair("time", "{}")));
}

TEST(ToolCallText, WhatIsNoCallIsText) {
  const std::pair<ToolFormat, std::string_view> kAnswers[] = {
      {ToolFormat::kHermes, "A tag like <tool> or <tool_cal is text. \n"},
      {ToolFormat::kHermes, "<tool_call>\nnothing\n</tool_call>"},
      {ToolFormat::kHermes, "<tool_call>\n{\"city\": \"Graz\"}\n</tool_call>"},
      {ToolFormat::kHermes, "<tool_call>\n{\"name\": \"weather\", "},
      {ToolFormat::kMistral, "[TOOL_CALLS] is what I would write"},
      {ToolFormat::kMistral, "[TOOL_CALLS] [] is an empty list"},
      {ToolFormat::kLlama3, R"({"dish": "soup", "servings": 4})"},
      {ToolFormat::kLlama3, R"({"name": "soup", "parameters": {"salt": 1}})"},
      {ToolFormat::kLlama3, R"({"name": "weather", "parameters": [1]})"},
      {ToolFormat::kLlama3, "Soup. {\"name\": \"weather\", \"parameters\": {}}"},
      {ToolFormat::kGeneric, R"({"tool_calls": 3})"},
      {ToolFormat::kGeneric, R"({"tool_calls": [{"name": "soup", "arguments": {}}]})"},
      {ToolFormat::kGeneric, "{\"tool"},
      {ToolFormat::kGeneric, " \n"}};
  for (const auto& [format, answer] : kAnswers) {
    const Read read = ReadAll(format, answer);
    EXPECT_EQ(read.text, answer);
    EXPECT_THAT(read.calls, IsEmpty()) << answer;
  }
}

TEST(ToolCallText, NothingIsLostOfAnyText) {
  const std::vector<std::string_view> kParts = {
      "{",  "}", "[",  "]",  "\"name\"",       "\"arguments\"", ":",
      "\"", ",", "\\", "\n", "\"tool_calls\"", "<tool_call>",   "</tool_call>",
      "x",  "1", " ",  "<",  "[TOOL_CALLS]",   "\"weather\"",   "<|python_tag|>"};
  std::mt19937 random(11);
  for (int i = 0; i < 2000; ++i) {
    std::string answer;
    for (unsigned n = random() % 24; n > 0; --n) answer += kParts[random() % kParts.size()];
    for (const ToolFormat format :
         {ToolFormat::kGeneric, ToolFormat::kHermes, ToolFormat::kMistral, ToolFormat::kLlama3}) {
      const Read read = ReadAll(format, answer);
      if (read.calls.empty()) {
        EXPECT_EQ(read.text, answer);
      }
    }
  }
}

}  // namespace
}  // namespace potluck::model
