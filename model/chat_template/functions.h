// The functions that a template calls by name: range, namespace, dict, raise_exception,
// strftime_now.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "model/chat_template/value.h"

namespace potluck::model::jinja {

bool IsGlobalFunction(std::string_view name);

// `now` is what strftime_now prints. InvalidArgument: bad arguments, or raise_exception's message.
absl::StatusOr<Value> CallGlobalFunction(Arena& arena, std::string_view name,
                                         const Arguments& arguments, absl::CivilSecond now);

}  // namespace potluck::model::jinja
