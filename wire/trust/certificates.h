// X.509 certificates as this cluster's authority makes them, over OpenSSL's types. Of this folder's
// own; others use cluster_authority.h.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "wire/trust/openssl_types.h"

namespace potluck::wire {

// InvalidArgument where the PEM text holds none. Encrypted keys are refused.
absl::StatusOr<KeyPtr> ReadPrivateKey(const std::string& pem);
absl::StatusOr<CertificatePtr> ReadCertificate(const std::string& pem);  // the first
std::vector<CertificatePtr> ReadCertificates(const std::string& pem);    // all, up to the first bad
// PKCS #10, DER, from a stranger. InvalidArgument unless it is one, whole, for a key of ECDSA over
// P-256, with a good signature by that key. Nothing else in it is looked at.
absl::StatusOr<KeyPtr> ReadCertificateRequest(const std::string& der);

// keys.h, kKeyNameDigits.
absl::StatusOr<std::string> NameOfKey(const EVP_PKEY& key);
std::string ToPem(const X509& certificate);

// Signed by itself: the root of a cluster.
absl::StatusOr<CertificatePtr> MakeAuthorityCertificate(EVP_PKEY& key, absl::Time from,
                                                        absl::Time until);
// For a member: proves `dns_name` as a server and as a client.
absl::StatusOr<CertificatePtr> MakeMemberCertificate(X509& authority, EVP_PKEY& authority_key,
                                                     EVP_PKEY& member_key,
                                                     const std::string& dns_name, absl::Time from,
                                                     absl::Time until);

// When a certificate of ours begins and ends to be good.
struct Validity {
  absl::Time from, until;
};
absl::StatusOr<Validity> ValidityOf(const X509& certificate);

}  // namespace potluck::wire
