#include "model/tool_calls/tool_grammar.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/grammar/json_grammar.h"

namespace potluck::model {
namespace {

using nlohmann::ordered_json;

// Arguments are an object, also where the schema would allow others.
absl::StatusOr<ordered_json> ObjectSchema(const Tool& tool) {
  ordered_json schema = tool.parameters;
  const auto type = schema.find("type");
  if (type == schema.end()) {
    constexpr const char* kElsewhere[] = {"$ref", "anyOf", "oneOf", "allOf"};
    const bool is_elsewhere =
        std::ranges::any_of(kElsewhere, [&](const char* key) { return schema.contains(key); });
    if (!is_elsewhere) schema["type"] = "object";
  } else if (*type != "object") {
    return absl::InvalidArgumentError(
        absl::StrCat("the parameters of tool ", tool.name, " must be of type object"));
  }
  return schema;
}

absl::StatusOr<std::string> Arguments(const Tool& tool, SchemaRules& rules) {
  POTLUCK_ASSIGN_OR_RETURN(const ordered_json schema, ObjectSchema(tool));
  absl::StatusOr<std::string> arguments = rules.Add(schema);
  if (arguments.ok()) return arguments;
  if (tool.strict)
    return Annotate(arguments.status(), absl::StrCat("the parameters of tool ", tool.name));
  return rules.Add({{"type", "object"}});
}

// What follows a call's opening up to its end, as one rule.
absl::Status AddCall(const ToolUse& use, const ToolSyntax& syntax, SchemaRules& rules) {
  std::vector<std::string> ways;
  for (const Tool& tool : use.tools) {
    if (!use.only.empty() && tool.name != use.only) continue;
    POTLUCK_ASSIGN_OR_RETURN(const std::string arguments, Arguments(tool, rules));
    ways.push_back(absl::StrCat(
        GbnfLiteral(absl::StrCat(tool.name, "\", \"", ToAbsl(syntax.arguments_key), "\": ")), " ",
        arguments, " \"}\""));
  }
  rules.AddRule("call", absl::StrJoin(ways, " | "));
  return absl::OkStatus();
}

// By how much of `mark` its first `matched` characters and `next` end with (Knuth, Morris and Pratt
// 1977).
size_t Matched(std::string_view mark, size_t matched, char next) {
  const std::string text = absl::StrCat(ToAbsl(mark.substr(0, matched)), std::string(1, next));
  size_t length = std::min(text.size(), mark.size());
  while (!std::string_view(text).ends_with(mark.substr(0, length))) --length;
  return length;
}

std::string InClass(char character) {
  return absl::StrCat(character == '[' || character == ']' || character == '\\' ? "\\" : "",
                      std::string(1, character));
}

std::string TextRule(size_t matched) { return absl::StrCat("text-", matched); }

// Rules for any text up to the mark, if it comes, and then `calls`. Returns the first one's name.
std::string AddText(const ToolSyntax& syntax, const std::string& calls, SchemaRules& rules) {
  const std::set<char> characters(syntax.mark.begin(), syntax.mark.end());
  for (size_t i = 0; i < syntax.mark.size(); ++i) {
    std::vector<std::string> ways = {R"("")"};
    std::string others;
    if (syntax.opens_answer && i == 0) {
      others = " \\n";
      ways.push_back(absl::StrCat("[ \\n] ", TextRule(0)));
    }
    for (const char character : characters) {
      const bool goes_on = character == syntax.mark[i];
      // Where the mark has to open the answer, a text that is not it is free.
      const size_t matched =
          syntax.opens_answer && !goes_on ? 0 : Matched(syntax.mark, i, character);
      if (matched == 0) continue;
      absl::StrAppend(&others, InClass(character));
      ways.push_back(absl::StrCat("[", InClass(character), "] ",
                                  matched == syntax.mark.size() ? calls : TextRule(matched)));
    }
    ways.push_back(absl::StrCat("[^", others, "] ", syntax.opens_answer ? "any" : TextRule(0)));
    rules.AddRule(TextRule(i), absl::StrJoin(ways, " | "));
  }
  if (syntax.opens_answer) rules.AddRule("any", ".*");
  return TextRule(0);
}

}  // namespace

absl::StatusOr<std::string> ToolGrammar(const ToolUse& use, ToolFormat format,
                                        const ordered_json& schema) {
  const ToolSyntax& syntax = SyntaxOf(format);
  SchemaRules rules;
  POTLUCK_RETURN_IF_ERROR(AddCall(use, syntax, rules));
  std::string calls = absl::StrCat(ToAbsl(syntax.before_name), " call");
  if (use.parallel && !syntax.between.empty())
    absl::StrAppend(&calls, " (", ToAbsl(syntax.between), " call)*");
  absl::StrAppend(&calls, " ", ToAbsl(syntax.close));
  rules.AddRule("calls", calls);
  const std::string only_calls = absl::StrCat(GbnfLiteral(syntax.mark), " calls");
  if (use.choice == ToolUse::Choice::kRequired) return rules.Grammar(only_calls);
  if (schema.is_null()) return rules.Grammar(AddText(syntax, "calls", rules));
  absl::StatusOr<std::string> value = rules.Add(schema);
  if (!value.ok()) return Annotate(value.status(), "response_format");
  return rules.Grammar(absl::StrCat(only_calls, " | ", *value));
}

}  // namespace potluck::model
