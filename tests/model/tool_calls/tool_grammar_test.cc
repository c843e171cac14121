#include "model/tool_calls/tool_grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/model/grammar/grammar_texts.h"

namespace potluck::model {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;
using Choice = ToolUse::Choice;

ToolUse Tools(Choice choice) {
  ToolUse use;
  use.choice = choice;
  use.tools = {{.name = "weather",
                .parameters = ordered_json::parse(
                    R"({"type": "object", "required": ["city"],
                        "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}}})")},
               {.name = "time", .parameters = {{"const", ordered_json::object()}}}};
  return use;
}

void Expect(const ToolUse& use, ToolFormat format, const std::vector<std::string_view>& good,
            const std::vector<std::string_view>& bad, const ordered_json& schema = nullptr) {
  const auto gbnf = ToolGrammar(use, format, schema);
  ASSERT_TRUE(gbnf.ok()) << gbnf.status();
  GrammarAutomaton automaton = AutomatonOf(*gbnf);
  for (const std::string_view text : good) EXPECT_TRUE(Matches(automaton, text)) << text;
  for (const std::string_view text : bad) EXPECT_FALSE(Matches(automaton, text)) << text;
}

constexpr std::string_view kHermes =
    "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Graz\"}}\n</tool_call>";
constexpr std::string_view kHermesTwo =
    "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>\n"
    "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"\", \"unit\": \"C\"}}\n"
    "</tool_call>";

TEST(ToolGrammar, ACallThatIsAskedForComes) {
  Expect(Tools(Choice::kRequired), ToolFormat::kHermes, {kHermes, kHermesTwo},
         {"", "Hello", "<tool_call>\n{\"name\": \"soup\", \"arguments\": {}}\n</tool_call>",
          "<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call>",
          "<tool_call>\n{\"name\": \"time\", \"arguments\": {\"city\": \"\"}}\n</tool_call>"});
  Expect(Tools(Choice::kRequired), ToolFormat::kMistral,
         {R"([TOOL_CALLS][{"name": "time", "arguments": {}}])",
          R"([TOOL_CALLS] [{"name": "time", "arguments": {}}, {"name": "time", "arguments": {}}])"},
         {"[TOOL_CALLS][]", R"([{"name": "time", "arguments": {}}])"});
  Expect(Tools(Choice::kRequired), ToolFormat::kLlama3,
         {R"({"name": "weather", "parameters": {"city": "Graz", "unit": "F"}})"},
         {R"({"name": "weather", "parameters": {"city": "Graz", "unit": "K"}})",
          R"({"name": "weather", "arguments": {"city": "Graz"}})"});
  Expect(
      Tools(Choice::kRequired), ToolFormat::kGeneric,
      {R"({"tool_calls": [{"name": "time", "arguments": {}}, {"name": "time", "arguments": {}}]})"},
      {R"({"tool_calls": []})"});
}

TEST(ToolGrammar, OneToolAndOneCall) {
  ToolUse use = Tools(Choice::kRequired);
  use.only = "time";
  Expect(use, ToolFormat::kHermes,
         {"<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>"}, {kHermes});
  use = Tools(Choice::kRequired);
  use.parallel = false;
  Expect(use, ToolFormat::kHermes, {kHermes}, {kHermesTwo});
}

TEST(ToolGrammar, TextIsFreeUntilACallBegins) {
  Expect(Tools(Choice::kAuto), ToolFormat::kHermes,
         {"", "Gr\u00FC\u00DFe, 2 < 3 and <tool> and <<tool_cal", "Well: " + std::string(kHermes),
          kHermes, kHermesTwo},
         {"<tool_call>", "a<tool_call>b", std::string(kHermes) + " and so on",
          "<<tool_call>\n{\"name\": \"soup\""});
  Expect(Tools(Choice::kAuto), ToolFormat::kMistral,
         {"", "[TOOL_CALL] [[TOOL", R"([TOOL_CALLS][{"name": "time", "arguments": {}}])"},
         {"[TOOL_CALLS] are nice", "[[TOOL_CALLS]"});
  Expect(Tools(Choice::kAuto), ToolFormat::kLlama3,
         {"", "Soup.", R"({"dish": "soup"})", R"({"name)", "Soup {\"name\": \"",
          "\n{\"name\": \"time\", \"parameters\": {}}"},
         {R"({"name": "soup"})", R"( {"name": "weather", "parameters": {}})"});
  Expect(Tools(Choice::kAuto), ToolFormat::kGeneric,
         {"Soup.", R"({"tool": 1})", R"({"tool_calls": [{"name": "time", "arguments": {}}]})"},
         {R"({"tool_calls": []})"});
}

TEST(ToolGrammar, TextThatHasAFormItself) {
  const ordered_json schema = {{"enum", {"yes", "no"}}};
  for (const ToolFormat format :
       {ToolFormat::kHermes, ToolFormat::kMistral, ToolFormat::kLlama3, ToolFormat::kGeneric})
    Expect(Tools(Choice::kAuto), format, {"\"yes\""}, {"yes", "", "Hello"}, schema);
  Expect(Tools(Choice::kAuto), ToolFormat::kHermes, {kHermes, kHermesTwo}, {}, schema);
}

TEST(ToolGrammar, ArgumentsAreAnObjectWhateverTheSchemaLeavesOpen) {
  ToolUse use = Tools(Choice::kRequired);
  use.only = "weather";
  use.tools[0].parameters = ordered_json::object();
  Expect(
      use, ToolFormat::kLlama3,
      {R"({"name": "weather", "parameters": {}})",
       R"({"name": "weather", "parameters": {"a": 1}})"},
      {R"({"name": "weather", "parameters": true})", R"({"name": "weather", "parameters": []})"});
  use.tools[0].parameters = {{"type", "array"}};
  EXPECT_TRUE(absl::IsInvalidArgument(ToolGrammar(use, ToolFormat::kLlama3, nullptr).status()));
}

TEST(ToolGrammar, SchemasThatCannotBeHeldWhole) {
  ToolUse use = Tools(Choice::kRequired);
  use.tools[0].parameters["properties"]["city"]["not"] = {{"const", "Linz"}};
  Expect(use, ToolFormat::kLlama3,
         {R"({"name": "weather", "parameters": {"anything": [1]}})",
          R"({"name": "time", "parameters": {}})"},
         {R"({"name": "weather", "parameters": 3})"});
  use.tools[0].strict = true;
  const auto refused = ToolGrammar(use, ToolFormat::kLlama3, nullptr);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.status().message(), HasSubstr("the parameters of tool weather: "));
  EXPECT_THAT(refused.status().message(), HasSubstr("\"not\" cannot be enforced"));
}

}  // namespace
}  // namespace potluck::model
