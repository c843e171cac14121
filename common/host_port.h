// "HOST:PORT" as people write it: "nas.local:7071", "192.168.1.5:7071", "[fe80::1]:7071".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace potluck {

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};

// InvalidArgument, saying what is missing. An IPv6 address needs its brackets.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);
// `text`, with this port where it has none.
std::string WithPort(std::string_view text, uint16_t port);
// With brackets where the host has colons.
std::string JoinHostPort(std::string_view host, uint16_t port);

}  // namespace potluck
