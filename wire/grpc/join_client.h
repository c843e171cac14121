// How a machine becomes a member of a cluster, and stays one.
//
// Before joining it can trust nobody: a first TLS handshake shows who answers, and the hash in the
// join code tells whether that is the cluster. Only then, over a connection that is verified with
// the cluster's certificate, it proves to know the code's secret and asks for a certificate.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "wire/trust/join_code.h"
#include "wire/trust/tls_identity.h"

namespace potluck::wire {

struct JoinOptions {
  JoinLine line;
  std::string private_key;  // PEM: of an earlier identity, whose id is kept; empty: a new one
  std::string name;         // for people
  std::string build;        // of this program
};

// Blocks for at most about half a minute. PermissionDenied: the code is wrong, old, or of another
// cluster. Unavailable: nobody answers there. FailedPrecondition: the versions differ.
absl::StatusOr<TlsIdentity> JoinCluster(const JoinOptions& options);

// A certificate for the same key that is good for longer (LifeOf, wire/trust/stored_identity.h).
// `address`: the coordinator's. Blocks likewise.
absl::StatusOr<TlsIdentity> RenewIdentity(const TlsIdentity& identity, const std::string& address,
                                          const std::string& build);

}  // namespace potluck::wire
