#include "model/generation/context_overflow.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace potluck::model {
namespace {

constexpr char kPayload[] = "potluck/context-overflow";

}  // namespace

absl::Status ContextOverflowError(const ContextOverflow& overflow, absl::string_view advice) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(
      "request (", overflow.prompt_tokens, " tokens) exceeds the available context size (",
      overflow.context_length, " tokens)",
      overflow.with_answer ? ", which holds the answer, too" : "", ": ", advice));
  status.SetPayload(kPayload,
                    absl::Cord(absl::StrCat(overflow.prompt_tokens, " ", overflow.context_length)));
  return status;
}

std::optional<ContextOverflow> ContextOverflowOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  if (!payload.has_value()) return std::nullopt;
  const std::string text(*payload);
  const std::pair<std::string, std::string> numbers = absl::StrSplit(text, ' ');
  ContextOverflow overflow;
  if (!absl::SimpleAtoi(numbers.first, &overflow.prompt_tokens) ||
      !absl::SimpleAtoi(numbers.second, &overflow.context_length))
    return std::nullopt;
  return overflow;
}

}  // namespace potluck::model
