// How models write calls of tools into their answers. Each was trained on one way, which its chat
// template shows; a model that was trained on none is told one.
#pragma once

#include <cstdint>
#include <string_view>

namespace potluck::model {

class ChatTemplate;

enum class ToolFormat : uint8_t {
  kGeneric,  // {"tool_calls": [{"name": "f", "arguments": {...}}, ...]}, as tool_prompt.h explains
  kHermes,   // <tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call>; Qwen, too
  kMistral,  // [TOOL_CALLS][{"name": "f", "arguments": {...}}, ...]
  kLlama3,   // {"name": "f", "parameters": {...}}, and nothing else
};

// kGeneric where the template knows no tools, or writes their calls in another way.
ToolFormat ToolFormatOf(const ChatTemplate& chat_template);

// The parts of a format.
struct ToolSyntax {
  // What begins the calls of an answer. Text may come before it, but where `opens_answer`.
  std::string_view mark;
  bool opens_answer = false;
  // GBNF: from the mark to the first call's name, from a call to the next one's name (empty: one
  // call only), and after the last.
  std::string_view before_name, between, close;
  std::string_view arguments_key;
};
const ToolSyntax& SyntaxOf(ToolFormat format);

}  // namespace potluck::model
