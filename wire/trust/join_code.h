// What a person copies to a machine that is to join: where the coordinator is, how to know the
// cluster, and a secret that the cluster knows.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace potluck::wire {

struct JoinCode {
  std::string authority;  // the name of the cluster's key (keys.h)
  std::string secret;     // 32 hexadecimal digits
};

// "pl1.<authority>.<secret>".
std::string FormatJoinCode(const JoinCode& code);
// InvalidArgument says what is wrong with it.
absl::StatusOr<JoinCode> ParseJoinCode(std::string_view text);

struct JoinLine {
  std::string address;  // "HOST:PORT"
  JoinCode code;
};

// "HOST:PORT/CODE", with spaces and line ends around it taken away.
absl::StatusOr<JoinLine> ParseJoinLine(std::string_view text);

}  // namespace potluck::wire
