// The grammar of an answer that may, or must, call tools.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/tool_calls/tool_format.h"
#include "model/tool_calls/tool_use.h"
#include "nlohmann/json.hpp"

namespace potluck::model {

// GBNF. With Choice::kAuto any text without the format's mark is an answer, too, or, where `schema`
// is not null, a JSON value that keeps to it: a call must then be whole and right once it has
// begun. InvalidArgument names the tool whose schema is none, or which is strict and has a schema
// that cannot be enforced as a whole. `use` must have tools and not Choice::kNone.
absl::StatusOr<std::string> ToolGrammar(const ToolUse& use, ToolFormat format,
                                        const nlohmann::ordered_json& schema);

}  // namespace potluck::model
