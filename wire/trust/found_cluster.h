// The first look at a cluster, before anything can be trusted: who answers there?
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace potluck::wire {

struct FoundCluster {
  std::string authority;  // PEM: the certificate whose key has the wanted name
  std::string address;    // "HOST:PORT" in numbers: which of the host's addresses has answered
};

// Makes a TLS handshake, says nothing, and looks at the chain of certificates that was shown.
// Blocks for `timeout` at most, and for as long as the system takes to find a host's addresses.
// Unavailable: nobody answers. PermissionDenied: somebody answers with TLS and is not the cluster
// whose key has that name (keys.h).
absl::StatusOr<FoundCluster> FindCluster(const std::string& address, const std::string& key_name,
                                         absl::Duration timeout);

}  // namespace potluck::wire
