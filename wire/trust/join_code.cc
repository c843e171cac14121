#include "wire/trust/join_code.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/host_port.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "wire/trust/keys.h"

namespace potluck::wire {
namespace {

constexpr std::string_view kPrefix = "pl1.";

bool IsDigits(std::string_view text) {
  return text.size() == kKeyNameDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

std::string FormatJoinCode(const JoinCode& code) {
  return absl::StrCat(ToAbsl(kPrefix), code.authority, ".", code.secret);
}

absl::StatusOr<JoinCode> ParseJoinCode(std::string_view text) {
  constexpr size_t kSize = kPrefix.size() + kKeyNameDigits + 1 + kKeyNameDigits;
  if (!text.starts_with(kPrefix)) {
    return absl::InvalidArgumentError(
        "this is no join code: one begins with 'pl1.'; copy the whole line that 'potluck up' "
        "printed");
  }
  if (text.size() != kSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("the join code has ", text.size(), " characters instead of ", kSize,
                     ": copy the whole line that 'potluck up' printed"));
  }
  JoinCode code{std::string(text.substr(kPrefix.size(), kKeyNameDigits)),
                std::string(text.substr(kSize - kKeyNameDigits))};
  if (!IsDigits(code.authority) || !IsDigits(code.secret) ||
      text[kPrefix.size() + kKeyNameDigits] != '.') {
    return absl::InvalidArgumentError(
        "the join code has a character that none can have: copy it again");
  }
  return code;
}

absl::StatusOr<JoinLine> ParseJoinLine(std::string_view text) {
  text = ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
  constexpr std::string_view kCommand = "potluck join ";  // as `potluck up` prints it
  if (text.starts_with(kCommand))
    text = ToStd(absl::StripAsciiWhitespace(ToAbsl(text.substr(kCommand.size()))));
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return absl::InvalidArgumentError(
        "this is no HOST:PORT/CODE: copy the whole line that 'potluck up' printed");
  }
  JoinLine line{.address = std::string(text.substr(0, slash))};
  POTLUCK_RETURN_IF_ERROR(ParseHostPort(line.address).status());
  POTLUCK_ASSIGN_OR_RETURN(line.code, ParseJoinCode(text.substr(slash + 1)));
  return line;
}

}  // namespace potluck::wire
