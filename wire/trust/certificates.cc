#include "wire/trust/certificates.h"

#include <openssl/rand.h>

#include <array>
#include <ctime>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/sha256.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "wire/trust/keys.h"

namespace potluck::wire {
namespace {

constexpr int kSerialBytes = 16;

// Never asks a person for a password.
int NoPassword(char*, int, int, void*) { return -1; }

bool IsP256(const EVP_PKEY& key) {
  char group[40] = "";
  size_t size = 0;
  return EVP_PKEY_is_a(&key, "EC") == 1 &&
         EVP_PKEY_get_group_name(&key, group, sizeof(group), &size) == 1 &&
         std::string_view(group) == "prime256v1";
}

bool SetTimes(X509& certificate, absl::Time from, absl::Time until) {
  const time_t first = absl::ToTimeT(from), last = absl::ToTimeT(until);
  return ASN1_TIME_set(X509_getm_notBefore(&certificate), first) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(&certificate), last) != nullptr;
}

// Random, so that no count has to be kept: 127 bits never meet.
bool SetSerial(X509& certificate) {
  std::array<unsigned char, kSerialBytes> bytes;
  if (RAND_bytes(bytes.data(), kSerialBytes) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, of full length
  BIGNUM* number = BN_bin2bn(bytes.data(), kSerialBytes, nullptr);
  const bool good = number != nullptr &&
                    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(&certificate)) != nullptr;
  BN_free(number);
  return good;
}

bool SetSubject(X509& certificate, const std::string& name) {
  return X509_NAME_add_entry_by_txt(X509_get_subject_name(&certificate), "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(name.data()),
                                    static_cast<int>(name.size()), -1, 0) == 1;
}

bool AddExtension(X509& certificate, X509& issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  const bool good = extension != nullptr && X509_add_ext(&certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return good;
}

CertificatePtr NewCertificate(EVP_PKEY& key, const std::string& name, absl::Time from,
                              absl::Time until) {
  CertificatePtr certificate(X509_new());
  const bool good = certificate && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                    SetSerial(*certificate) && SetTimes(*certificate, from, until) &&
                    SetSubject(*certificate, name) && X509_set_pubkey(certificate.get(), &key) == 1;
  if (!good) certificate.reset();
  return certificate;
}

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1)
    return absl::InvalidArgumentError("a certificate has no good time in it");
  return absl::FromTimeT(timegm(&parts));
}

}  // namespace

absl::StatusOr<KeyPtr> ReadPrivateKey(const std::string& pem) {
  const BioPtr in = ReadingBio(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(in.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (!key || !IsP256(*key)) return absl::InvalidArgumentError("there is no private key of ours");
  return key;
}

absl::StatusOr<CertificatePtr> ReadCertificate(const std::string& pem) {
  const BioPtr in = ReadingBio(pem);
  CertificatePtr certificate(PEM_read_bio_X509(in.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (!certificate || X509_get0_pubkey(certificate.get()) == nullptr)
    return absl::InvalidArgumentError("there is no certificate");
  return certificate;
}

std::vector<CertificatePtr> ReadCertificates(const std::string& pem) {
  const BioPtr in = ReadingBio(pem);
  std::vector<CertificatePtr> certificates;
  for (;;) {
    CertificatePtr next(PEM_read_bio_X509(in.get(), nullptr, NoPassword, nullptr));
    if (!next || X509_get0_pubkey(next.get()) == nullptr) break;
    certificates.push_back(std::move(next));
  }
  ERR_clear_error();
  return certificates;
}

absl::StatusOr<KeyPtr> ReadCertificateRequest(const std::string& der) {
  const auto* begin = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* at = begin;
  const RequestPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  KeyPtr key(request ? X509_REQ_get_pubkey(request.get()) : nullptr);
  const bool good = key && at == begin + der.size() && IsP256(*key) &&
                    X509_REQ_verify(request.get(), key.get()) == 1;
  ERR_clear_error();
  if (!good) {
    return absl::InvalidArgumentError("the certificate request is not one that potluck makes");
  }
  return key;
}

absl::StatusOr<std::string> NameOfKey(const EVP_PKEY& key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(&key, &der);
  if (size <= 0) return OpenSslError("cannot write a public key");
  const Sha256Digest digest =
      Sha256(std::string_view(reinterpret_cast<const char*>(der), static_cast<size_t>(size)));
  OPENSSL_free(der);
  return digest.ToHex().substr(0, kKeyNameDigits);
}

std::string ToPem(const X509& certificate) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  if (!out || PEM_write_bio_X509(out.get(), &certificate) != 1) return "";
  return WrittenTo(out);
}

absl::StatusOr<CertificatePtr> MakeAuthorityCertificate(EVP_PKEY& key, absl::Time from,
                                                        absl::Time until) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string name, NameOfKey(key));
  CertificatePtr certificate = NewCertificate(key, "Potluck cluster " + name, from, until);
  const bool good =
      certificate &&
      X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get())) == 1 &&
      AddExtension(*certificate, *certificate, NID_basic_constraints,
                   "critical,CA:TRUE,pathlen:0") &&
      AddExtension(*certificate, *certificate, NID_key_usage, "critical,keyCertSign") &&
      AddExtension(*certificate, *certificate, NID_subject_key_identifier, "hash") &&
      X509_sign(certificate.get(), &key, EVP_sha256()) > 0;
  if (!good) return OpenSslError("cannot make the cluster's certificate");
  return certificate;
}

absl::StatusOr<CertificatePtr> MakeMemberCertificate(X509& authority, EVP_PKEY& authority_key,
                                                     EVP_PKEY& member_key,
                                                     const std::string& dns_name, absl::Time from,
                                                     absl::Time until) {
  CertificatePtr certificate = NewCertificate(member_key, dns_name, from, until);
  const bool good =
      certificate &&
      X509_set_issuer_name(certificate.get(), X509_get_subject_name(&authority)) == 1 &&
      AddExtension(*certificate, authority, NID_basic_constraints, "critical,CA:FALSE") &&
      AddExtension(*certificate, authority, NID_key_usage, "critical,digitalSignature") &&
      AddExtension(*certificate, authority, NID_ext_key_usage, "serverAuth,clientAuth") &&
      AddExtension(*certificate, authority, NID_authority_key_identifier, "keyid") &&
      AddExtension(*certificate, authority, NID_subject_alt_name, "DNS:" + dns_name) &&
      X509_sign(certificate.get(), &authority_key, EVP_sha256()) > 0;
  if (!good) return OpenSslError("cannot make a certificate");
  return certificate;
}

absl::StatusOr<Validity> ValidityOf(const X509& certificate) {
  Validity validity;
  POTLUCK_ASSIGN_OR_RETURN(validity.from, ToTime(X509_get0_notBefore(&certificate)));
  POTLUCK_ASSIGN_OR_RETURN(validity.until, ToTime(X509_get0_notAfter(&certificate)));
  return validity;
}

}  // namespace potluck::wire
