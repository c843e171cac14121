// This machine's addresses.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace potluck::cli {

bool IsLoopback(const std::string& host);    // "127.0.0.1", "::1", "localhost"
bool IsAnyAddress(const std::string& host);  // "0.0.0.0", "::"

// The address of this machine's interface that leads to that host; Unavailable where none does.
absl::StatusOr<std::string> AddressTowards(const std::string& host);
// The one that leads out of this machine; "127.0.0.1" where it has no network.
std::string AddressOfThisMachine();
// "HOST:PORT" as others reach it: an address that means all of this machine's is written as the one
// that leads out.
absl::StatusOr<std::string> Reachable(const std::string& address);

}  // namespace potluck::cli
