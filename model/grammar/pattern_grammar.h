// Regular expressions, as JSON Schema's `pattern` has them (ECMA-262, the part that is regular), as
// GBNF. Of model/grammar's own.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace potluck::model {

// What may stand between the quotes of a JSON string whose value the pattern finds itself in; uses
// the rule "char". Known are characters and their escapes (\d \w \s \n \xHH \uHHHH ...), classes,
// groups, alternatives, repetitions, and ^ and $ around an alternative of the whole pattern.
// InvalidArgument, naming it, for anything else.
absl::StatusOr<std::string> PatternGrammar(std::string_view pattern);

}  // namespace potluck::model
