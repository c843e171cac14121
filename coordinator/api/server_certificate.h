// The certificate that people's clients are shown, and its key: PEM files that somebody else makes
// and, weeks later, replaces (a home's own authority, Let's Encrypt), while the coordinator runs
// for months.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/files.h"
#include "common/mutex.h"

namespace boost::asio::ssl {
class context;
}

namespace potluck::coordinator {

struct ServerCertificate {
  std::string chain, private_key;                       // PEM
  std::shared_ptr<boost::asio::ssl::context> for_asio;  // the same; TLS 1.2 and later
  int64_t version = 1;                                  // another one for each pair of files
};

// Thread-safe.
class CertificateFiles {
 public:
  // `key_path`: where the key is; empty: it is in the certificate's file. InvalidArgument, with
  // what to do, where the files hold no certificate, no key without a password, or a key that is
  // another certificate's.
  static absl::StatusOr<std::shared_ptr<CertificateFiles>> Open(const std::string& chain_path,
                                                                const std::string& key_path);

  // As the files are now; while they are half replaced, or useless, as they were before. A look at
  // the file system.
  ServerCertificate Current();

 private:
  struct Files {
    FileIdentity chain, key;
    bool operator==(const Files&) const = default;
  };
  CertificateFiles(std::string chain_path, std::string key_path)
      : chain_path_(std::move(chain_path)), key_path_(std::move(key_path)) {}
  absl::StatusOr<Files> Look() const;
  absl::StatusOr<ServerCertificate> Read() const;

  const std::string chain_path_, key_path_;
  Mutex mutex_;
  Files seen_ ABSL_GUARDED_BY(mutex_);  // whether or not they were of use
  ServerCertificate current_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace potluck::coordinator
