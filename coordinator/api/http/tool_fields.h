// The tools that a conversation's answer may call, as OpenAI's clients say it: "tools",
// "tool_choice", "parallel_tool_calls".
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "coordinator/api/answer_request.h"
#include "model/bounded_json.h"
#include "model/tool_calls/tool_use.h"

namespace potluck::coordinator {

// `text` is the body as it came: what describes tools has an order. InvalidArgument names the
// field.
absl::Status ReadTools(std::string_view text, const model::Json& body, Conversation& conversation,
                       model::ToolUse& use);

}  // namespace potluck::coordinator
