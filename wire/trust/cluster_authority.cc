#include "wire/trust/cluster_authority.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "wire/trust/certificates.h"
#include "wire/trust/keys.h"

namespace potluck::wire {
namespace {

constexpr char kFile[] = "/authority.pem";
constexpr size_t kMaxFileBytes = size_t{64} << 10;
constexpr absl::Duration kAuthorityLife = absl::Hours(24 * 365 * 30);
constexpr absl::Duration kCoordinatorLife = absl::Hours(24 * 365 * 5);
// Clocks of small machines may be behind.
constexpr absl::Duration kClockSlack = absl::Hours(48);

}  // namespace

struct ClusterAuthority::Keys {
  KeyPtr key;
  CertificatePtr certificate;
};

ClusterAuthority::ClusterAuthority(std::unique_ptr<const Keys> keys) : keys_(std::move(keys)) {
  certificate_ = ToPem(*keys_->certificate);
}
ClusterAuthority::ClusterAuthority(ClusterAuthority&&) = default;
ClusterAuthority::~ClusterAuthority() = default;

absl::StatusOr<ClusterAuthority> ClusterAuthority::OpenOrCreate(const std::string& folder,
                                                                absl::Time now) {
  const std::string path = folder + kFile;
  auto keys = std::make_unique<Keys>();
  absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (text.ok()) {
    absl::StatusOr<KeyPtr> key = ReadPrivateKey(*text);
    absl::StatusOr<CertificatePtr> certificate = ReadCertificate(*text);
    if (!key.ok() || !certificate.ok() ||
        X509_check_private_key(certificate->get(), key->get()) != 1) {
      ERR_clear_error();
      return absl::DataLossError(absl::StrCat(
          path,
          " holds no key and certificate of a cluster: restore it from a copy, or remove it to "
          "begin a new cluster, which all machines have to join again"));
    }
    *keys = {*std::move(key), *std::move(certificate)};
  } else if (absl::IsNotFound(text.status())) {
    POTLUCK_ASSIGN_OR_RETURN(const std::string key, MakePrivateKey());
    POTLUCK_ASSIGN_OR_RETURN(keys->key, ReadPrivateKey(key));
    POTLUCK_ASSIGN_OR_RETURN(
        keys->certificate,
        MakeAuthorityCertificate(*keys->key, now - kClockSlack, now + kAuthorityLife));
    POTLUCK_RETURN_IF_ERROR(WriteFileAtomically(path, key + ToPem(*keys->certificate)));
  } else {
    return text.status();
  }
  POTLUCK_ASSIGN_OR_RETURN(std::string name, NameOfKey(*keys->key));
  ClusterAuthority authority(std::move(keys));
  authority.key_name_ = std::move(name);
  return authority;
}

absl::StatusOr<TlsIdentity> ClusterAuthority::MakeCoordinatorIdentity(absl::Time now) const {
  TlsIdentity identity{.id = kCoordinator, .authority = certificate_};
  POTLUCK_ASSIGN_OR_RETURN(identity.private_key, MakePrivateKey());
  POTLUCK_ASSIGN_OR_RETURN(const KeyPtr key, ReadPrivateKey(identity.private_key));
  POTLUCK_ASSIGN_OR_RETURN(
      const CertificatePtr certificate,
      MakeMemberCertificate(*keys_->certificate, *keys_->key, *key, TlsName(kCoordinator),
                            now - kClockSlack, now + kCoordinatorLife));
  identity.certificate = ToPem(*certificate) + certificate_;
  return identity;
}

absl::StatusOr<TlsIdentity> ClusterAuthority::MakeWorkerIdentity(const std::string& private_key,
                                                                 absl::Time now) const {
  POTLUCK_ASSIGN_OR_RETURN(const std::string request, MakeCertificateRequest(private_key));
  POTLUCK_ASSIGN_OR_RETURN(MemberCertificate issued, Issue(request, now));
  return TlsIdentity{std::move(issued.id), private_key, std::move(issued.chain), certificate_};
}

absl::StatusOr<MemberCertificate> ClusterAuthority::Issue(const std::string& request,
                                                          absl::Time now) const {
  POTLUCK_ASSIGN_OR_RETURN(const KeyPtr key, ReadCertificateRequest(request));
  MemberCertificate issued;
  POTLUCK_ASSIGN_OR_RETURN(issued.id, NameOfKey(*key));
  POTLUCK_ASSIGN_OR_RETURN(
      const CertificatePtr certificate,
      MakeMemberCertificate(*keys_->certificate, *keys_->key, *key, TlsName(issued.id),
                            now - kClockSlack, now + kMemberLife));
  issued.chain = ToPem(*certificate) + certificate_;
  return issued;
}

}  // namespace potluck::wire
