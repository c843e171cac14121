// What follows `is`: defined, none, string, mapping, ...
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "model/chat_template/value.h"

namespace potluck::model::jinja {

// Whether `value is name(arguments)`. InvalidArgument: no such test, or wrong arguments.
absl::StatusOr<bool> ApplyTest(Arena& arena, std::string_view name, const Value& value,
                               const Arguments& arguments);

}  // namespace potluck::model::jinja
