// A worker's identity in its state folder, and from whom it has it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "wire/trust/tls_identity.h"

namespace potluck::wire {

// From a worker's key and the chain it was given: its certificate, then the authority's. DataLoss
// unless each belongs to the next and the name is the key's.
absl::StatusOr<TlsIdentity> AssembleIdentity(const std::string& private_key,
                                             const std::string& chain);

// FOLDER/identity.pem, mode 0600: the key, then the chain. NotFound where there is none; DataLoss
// where there is something else.
absl::StatusOr<TlsIdentity> ReadIdentity(const std::string& folder);
// The file holds the old or the new identity, never a part.
absl::Status WriteIdentity(const std::string& folder, const TlsIdentity& identity);

// When an identity is to be renewed (identity_renewal.h), at the coordinator and without a code,
// and when it is too late, so that a code is needed.
struct IdentityLife {
  absl::Time renew, end;
};
absl::StatusOr<IdentityLife> LifeOf(const TlsIdentity& identity);

}  // namespace potluck::wire
