#include "coordinator/api/http/tool_fields.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "coordinator/api/request_fields.h"

namespace potluck::coordinator {
namespace {

using model::FindKey;
using model::Json;
using nlohmann::ordered_json;

constexpr size_t kMostTools = 128;
constexpr size_t kMaxToolsBytes = size_t{128} << 10;

bool IsToolName(std::string_view name) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  return !name.empty() && name.size() <= 64 && name.find_first_not_of(kAllowed) == name.npos;
}

absl::StatusOr<model::Tool> ReadTool(const Json& json, const ordered_json& ordered) {
  const Json* function = FindKey(json, "function");
  if (model::StringValue(FindKey(json, "type")).value_or("function") != "function" ||
      function == nullptr || !function->is_object())
    return BadField("tools", "an array of objects, each with the type \"function\" and a function");
  model::Tool tool;
  tool.name = model::StringValue(FindKey(*function, "name")).value_or("");
  if (!IsToolName(tool.name))
    return BadField("tools", "functions with names of 1 to 64 letters, digits, '_', '-' and '.'");
  POTLUCK_RETURN_IF_ERROR(ReadText(*function, "description", tool.description));
  POTLUCK_RETURN_IF_ERROR(ReadBool(*function, "strict", tool.strict));
  const Json* parameters = FindKey(*function, "parameters");
  // OpenAI's word for a function without arguments.
  tool.parameters = parameters == nullptr ? ordered_json{{"const", ordered_json::object()}}
                                          : ordered["function"]["parameters"];
  if (!tool.parameters.is_object())
    return BadField("tools", "functions whose parameters are a JSON Schema, an object");
  return tool;
}

// "none", "auto", "required", or {"type": "function", "function": {"name": "..."}}.
absl::Status ReadChoice(const Json& body, model::ToolUse& use) {
  using Choice = model::ToolUse::Choice;
  use.choice = Choice::kAuto;
  const Json* json = FindKey(body, "tool_choice");
  if (json == nullptr) return absl::OkStatus();
  const auto word = model::StringValue(json);
  if (word == "auto") return absl::OkStatus();
  if (word == "none") {
    use.choice = Choice::kNone;
    return absl::OkStatus();
  }
  use.choice = Choice::kRequired;
  if (word == "required") return absl::OkStatus();
  const Json* function = FindKey(*json, "function");
  use.only = function == nullptr ? "" : model::StringValue(FindKey(*function, "name")).value_or("");
  if (std::ranges::none_of(use.tools,
                           [&use](const model::Tool& tool) { return tool.name == use.only; }))
    return BadField("tool_choice",
                    "none, auto, required, or an object with the type \"function\" and a function "
                    "whose name is one of the tools'");
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadTools(std::string_view text, const Json& body, Conversation& conversation,
                       model::ToolUse& use) {
  for (const char* former : {"functions", "function_call"}) {
    if (FindKey(body, former) != nullptr)
      return BadField(former, "left out: functions are given in \"tools\"");
  }
  const Json* json = FindKey(body, "tools");
  if (json == nullptr || (json->is_array() && json->empty())) {
    const auto choice = model::StringValue(FindKey(body, "tool_choice"));
    if (FindKey(body, "tool_choice") == nullptr || choice == "none" || choice == "auto")
      return absl::OkStatus();
    return BadField("tool_choice", "none or auto where no tools are given");
  }
  if (!json->is_array() || json->size() > kMostTools)
    return BadField("tools", absl::StrCat("an array of at most ", kMostTools));
  if (json->dump(-1, ' ', false, Json::error_handler_t::replace).size() > kMaxToolsBytes)
    return BadField("tools", absl::StrCat("at most ", kMaxToolsBytes, " bytes"));
  POTLUCK_RETURN_IF_ERROR(CheckMembers(*json, "tools"));
  conversation.tools = model::OrderedMember(text, "tools");
  for (size_t i = 0; i < json->size(); ++i) {
    POTLUCK_ASSIGN_OR_RETURN(model::Tool tool, ReadTool((*json)[i], conversation.tools[i]));
    const auto has_name = [&tool](const model::Tool& other) { return other.name == tool.name; };
    if (std::ranges::any_of(use.tools, has_name))
      return BadField("tools",
                      absl::StrCat("functions with different names: ", tool.name, " comes twice"));
    use.tools.push_back(std::move(tool));
  }
  POTLUCK_RETURN_IF_ERROR(ReadBool(body, "parallel_tool_calls", use.parallel));
  return ReadChoice(body, use);
}

}  // namespace potluck::coordinator
