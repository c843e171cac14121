// Private keys and the names they give: a key's name is its public half's hash, so that nobody
// without the key can take the name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace potluck::wire {

// The first 16 bytes of the SHA-256 of the SubjectPublicKeyInfo (RFC 5280, DER), as 32 hexadecimal
// digits: a worker's id, and the cluster's in a join code.
inline constexpr size_t kKeyNameDigits = 32;

// All texts are PEM. A new key for ECDSA over P-256.
absl::StatusOr<std::string> MakePrivateKey();
// InvalidArgument where the text holds no such key.
absl::StatusOr<std::string> NameOfPrivateKey(const std::string& private_key);
// Of the text's first certificate.
absl::StatusOr<std::string> NameOfCertificateKey(const std::string& certificate);
// PKCS #10, DER, signed by the key, which is thereby proved to be held.
absl::StatusOr<std::string> MakeCertificateRequest(const std::string& private_key);

// From OpenSSL's generator, in hexadecimal digits. Internal where it fails.
absl::StatusOr<std::string> RandomDigits(size_t num_bytes);

}  // namespace potluck::wire
