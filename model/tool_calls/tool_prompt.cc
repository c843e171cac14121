#include "model/tool_calls/tool_prompt.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/grammar/json_grammar.h"

namespace potluck::model {
namespace {

using nlohmann::ordered_json;

std::string TextOf(const ordered_json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string Description(const ToolUse& use) {
  std::string text = "You can call these functions:\n";
  for (const Tool& tool : use.tools) {
    ordered_json described = {{"name", tool.name}};
    if (!tool.description.empty()) described["description"] = tool.description;
    described["parameters"] = tool.parameters;
    absl::StrAppend(&text, CanonicalJson(described), "\n");
  }
  absl::StrAppend(
      &text, "To call ", use.parallel ? "one or more of them" : "one of them",
      ", answer with JSON of this form and nothing else:\n"
      R"({"tool_calls": [{"name": "the function's name", "arguments": {"an argument": "its value"}}]})"
      "\nThe next message then tells what the functions returned.");
  if (use.choice == ToolUse::Choice::kAuto)
    absl::StrAppend(&text, " If you need none of them, answer as usual.");
  return text;
}

// Calls of an earlier answer, as DescribeTools asks for them.
std::string CallsText(const ordered_json& calls, std::map<std::string, std::string>& names) {
  ordered_json written = ordered_json::array();
  for (const ordered_json& call : calls) {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) continue;
    const ordered_json& function = call["function"];
    names[TextOf(call, "id")] = TextOf(function, "name");
    ordered_json& one = written.emplace_back();
    one["name"] = TextOf(function, "name");
    one["arguments"] = function.contains("arguments") ? function["arguments"] : ordered_json();
  }
  return CanonicalJson({{"tool_calls", std::move(written)}});
}

void AddText(const std::string& text, ordered_json& message) {
  const std::string before = TextOf(message, "content");
  message["content"] = before.empty() ? text : absl::StrCat(before, "\n\n", text);
}

}  // namespace

void DescribeTools(const ToolUse& use, ToolPrompt where, ChatInput& input) {
  ordered_json messages = ordered_json::array();
  std::map<std::string, std::string> names;  // of the functions, by their calls' ids
  bool after_result = false;
  for (ordered_json& message : input.messages) {
    const bool is_result = TextOf(message, "role") == "tool";
    if (const auto calls = message.find("tool_calls"); calls != message.end()) {
      AddText(CallsText(*calls, names), message);
      message.erase("tool_calls");
    }
    if (!is_result) {
      messages.push_back(std::move(message));
    } else {
      const auto named = names.find(TextOf(message, "tool_call_id"));
      const std::string name = named == names.end() ? TextOf(message, "name") : named->second;
      // Templates want users and assistants to take turns.
      if (!after_result) messages.push_back({{"role", "user"}, {"content", ""}});
      AddText(absl::StrCat(name.empty() ? "A function" : name, " returned:\n",
                           TextOf(message, "content")),
              messages.back());
    }
    after_result = is_result;
  }
  input.messages = std::move(messages);
  input.tools = nullptr;
  if (!use.may_call()) return;
  const std::string role = where == ToolPrompt::kInSystemMessage ? "system" : "user";
  for (ordered_json& message : input.messages) {
    if (TextOf(message, "role") != role) continue;
    if (role == "system") return AddText(Description(use), message);
    message["content"] = absl::StrCat(Description(use), "\n\n", TextOf(message, "content"));
    return;
  }
  const ordered_json first = {{"role", role}, {"content", Description(use)}};
  input.messages.insert(input.messages.begin(), first);
}

}  // namespace potluck::model
