// The error of a prompt that does not fit into the context, with its numbers for programs that trim
// a conversation by them.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace potluck::model {

struct ContextOverflow {
  int64_t prompt_tokens = 0;  // or at least so many
  int64_t context_length = 0;
  bool with_answer = true;  // which the context is to hold, too
};

// InvalidArgument, with what to do: "shorten the prompt".
absl::Status ContextOverflowError(const ContextOverflow& overflow, absl::string_view advice);
// Nothing where `status` is another error.
std::optional<ContextOverflow> ContextOverflowOf(const absl::Status& status);

}  // namespace potluck::model
