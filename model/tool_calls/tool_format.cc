#include "model/tool_calls/tool_format.h"

#include <string>

#include "model/chat_template/chat_template.h"

namespace potluck::model {

ToolFormat ToolFormatOf(const ChatTemplate& chat_template) {
  const std::string_view source = chat_template.source();
  const auto has = [source](std::string_view text) { return source.find(text) != source.npos; };
  if (!chat_template.Reads("tools")) return ToolFormat::kGeneric;
  // Newer models of the same makers write calls without JSON between these marks.
  if (has("<tool_call>") && !has("<function=") && !has("<arg_key>")) return ToolFormat::kHermes;
  if (has("[TOOL_CALLS]") && !has("[ARGS]")) return ToolFormat::kMistral;
  if (has("<|start_header_id|>") && has(R"("parameters": )")) return ToolFormat::kLlama3;
  return ToolFormat::kGeneric;
}

const ToolSyntax& SyntaxOf(ToolFormat format) {
  static constexpr ToolSyntax kGeneric = {.mark = R"({"tool_calls": [)",
                                          .opens_answer = true,
                                          .before_name = R"("{\"name\": \"")",
                                          .between = R"(", {\"name\": \"")",
                                          .close = R"("]}")",
                                          .arguments_key = "arguments"};
  static constexpr ToolSyntax kHermes = {
      .mark = "<tool_call>",
      .before_name = R"("\n{\"name\": \"")",
      .between = R"("\n</tool_call>\n<tool_call>\n{\"name\": \"")",
      .close = R"("\n</tool_call>")",
      .arguments_key = "arguments"};
  static constexpr ToolSyntax kMistral = {.mark = "[TOOL_CALLS]",
                                          .before_name = R"(" "? "[{\"name\": \"")",
                                          .between = R"(", {\"name\": \"")",
                                          .close = R"("]")",
                                          .arguments_key = "arguments"};
  static constexpr ToolSyntax kLlama3 = {.mark = R"({"name": ")",
                                         .opens_answer = true,
                                         .before_name = R"("")",
                                         .between = "",
                                         .close = R"("")",
                                         .arguments_key = "parameters"};
  switch (format) {
    case ToolFormat::kHermes:
      return kHermes;
    case ToolFormat::kMistral:
      return kMistral;
    case ToolFormat::kLlama3:
      return kLlama3;
    case ToolFormat::kGeneric:
      break;
  }
  return kGeneric;
}

}  // namespace potluck::model
