#include "wire/trust/keys.h"

#include <openssl/rand.h>

#include "absl/strings/escaping.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "wire/trust/certificates.h"

namespace potluck::wire {

absl::StatusOr<std::string> MakePrivateKey() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const BioPtr out(BIO_new(BIO_s_mem()));
  if (!key || !out ||
      PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1) {
    return OpenSslError("cannot make a private key");
  }
  return WrittenTo(out);
}

absl::StatusOr<std::string> NameOfPrivateKey(const std::string& private_key) {
  POTLUCK_ASSIGN_OR_RETURN(const KeyPtr key, ReadPrivateKey(private_key));
  return NameOfKey(*key);
}

absl::StatusOr<std::string> NameOfCertificateKey(const std::string& certificate) {
  POTLUCK_ASSIGN_OR_RETURN(const CertificatePtr read, ReadCertificate(certificate));
  return NameOfKey(*X509_get0_pubkey(read.get()));
}

absl::StatusOr<std::string> MakeCertificateRequest(const std::string& private_key) {
  POTLUCK_ASSIGN_OR_RETURN(const KeyPtr key, ReadPrivateKey(private_key));
  const RequestPtr request(X509_REQ_new());
  unsigned char* der = nullptr;
  if (!request || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0) {
    return OpenSslError("cannot make a certificate request");
  }
  const int size = i2d_X509_REQ(request.get(), &der);
  if (size <= 0) return OpenSslError("cannot make a certificate request");
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

absl::StatusOr<std::string> RandomDigits(size_t num_bytes) {
  std::string bytes(num_bytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size())) !=
      1) {
    return OpenSslError("cannot draw a random number");
  }
  return absl::BytesToHexString(ToAbsl(bytes));
}

}  // namespace potluck::wire
