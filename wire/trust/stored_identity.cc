#include "wire/trust/stored_identity.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "wire/trust/certificates.h"

namespace potluck::wire {
namespace {

constexpr char kFile[] = "/identity.pem";
constexpr size_t kMaxFileBytes = size_t{64} << 10;

}  // namespace

absl::StatusOr<TlsIdentity> AssembleIdentity(const std::string& private_key,
                                             const std::string& chain) {
  POTLUCK_ASSIGN_OR_RETURN(const KeyPtr key, ReadPrivateKey(private_key));
  const std::vector<CertificatePtr> certificates = ReadCertificates(chain);
  TlsIdentity identity{.private_key = private_key};
  POTLUCK_ASSIGN_OR_RETURN(identity.id, NameOfKey(*key));
  const bool good =
      certificates.size() == 2 && X509_check_private_key(certificates[0].get(), key.get()) == 1 &&
      X509_check_host(certificates[0].get(), TlsName(identity.id).c_str(), 0, 0, nullptr) == 1 &&
      X509_verify(certificates[0].get(), X509_get0_pubkey(certificates[1].get())) == 1;
  ERR_clear_error();
  if (!good) return absl::DataLossError("the certificate does not belong to the key");
  identity.authority = ToPem(*certificates[1]);
  identity.certificate = ToPem(*certificates[0]) + identity.authority;
  return identity;
}

absl::StatusOr<TlsIdentity> ReadIdentity(const std::string& folder) {
  const std::string path = folder + kFile;
  POTLUCK_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  const size_t chain = text.find("-----BEGIN CERTIFICATE-----");
  absl::StatusOr<TlsIdentity> identity =
      chain == std::string::npos ? absl::DataLossError("there is no certificate")
                                 : AssembleIdentity(text.substr(0, chain), text.substr(chain));
  if (!identity.ok()) {
    return absl::DataLossError(absl::StrCat(path, " holds no identity of a worker (",
                                            identity.status().message(),
                                            "): remove it and join again with a code"));
  }
  return identity;
}

absl::Status WriteIdentity(const std::string& folder, const TlsIdentity& identity) {
  return WriteFileAtomically(folder + kFile, identity.private_key + identity.certificate);
}

absl::StatusOr<IdentityLife> LifeOf(const TlsIdentity& identity) {
  POTLUCK_ASSIGN_OR_RETURN(const CertificatePtr certificate, ReadCertificate(identity.certificate));
  POTLUCK_ASSIGN_OR_RETURN(const Validity validity, ValidityOf(*certificate));
  return IdentityLife{validity.from + (validity.until - validity.from) / 4, validity.until};
}

}  // namespace potluck::wire
