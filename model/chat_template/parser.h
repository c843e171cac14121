// Template text to Program. See program.h.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/chat_template/program.h"

namespace potluck::model::jinja {

// InvalidArgument with the line: a syntax error, nesting deeper than 100, or a statement that
// chat templates have no use for (extends, import, block, recursive loops).
absl::StatusOr<std::unique_ptr<Program>> ParseTemplate(const std::string& source);

}  // namespace potluck::model::jinja
