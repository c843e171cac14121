// A conversation with tools, for a chat template that knows none.
#pragma once

#include <cstdint>

#include "model/chat_template/chat_template.h"
#include "model/tool_calls/tool_use.h"

namespace potluck::model {

// Where the tools are described. Some templates know no system messages.
enum class ToolPrompt : uint8_t { kInSystemMessage, kInFirstUserMessage };

// Describes the tools, and says how to call them (ToolFormat::kGeneric); calls in earlier answers
// become text in that form, and what tools answered is what the user says. `input.tools` is null
// then.
void DescribeTools(const ToolUse& use, ToolPrompt where, ChatInput& input);

}  // namespace potluck::model
