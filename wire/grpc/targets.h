// Addresses as people and peers give them, to what gRPC dials.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace potluck::wire {

struct Targets {
  std::vector<std::string> names;  // "ipv4:10.0.0.2:7071"
  bool needs_resolving = false;    // then names is empty: ResolveTarget has to be asked
};

// InvalidArgument where it isn't "HOST:PORT".
absl::StatusOr<Targets> ParseTarget(const std::string& address);
// Asks the system, which may take seconds. Unavailable where it knows no such host.
absl::StatusOr<std::vector<std::string>> ResolveTarget(const std::string& address);

// What gRPC says of a peer ("ipv6:%5B::1%5D:40112"), as "HOST:PORT", and whether it is on this
// machine.
std::string AddressOfPeer(const std::string& peer);
bool IsOnThisMachine(const std::string& peer);

}  // namespace potluck::wire
