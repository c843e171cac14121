#include "coordinator/api/server_certificate.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/context.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace potluck::coordinator {
namespace {

namespace ssl = boost::asio::ssl;

constexpr uint64_t kMostPemBytes = 1 << 20;

absl::Status Useless(const std::string& path, const char* what,
                     const boost::system::error_code& error) {
  return absl::InvalidArgumentError(absl::StrCat(path, " ", what, " (", error.message(), ")"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<CertificateFiles>> CertificateFiles::Open(
    const std::string& chain_path, const std::string& key_path) {
  std::shared_ptr<CertificateFiles> files(
      new CertificateFiles(chain_path, key_path.empty() ? chain_path : key_path));
  MutexLock lock(files->mutex_);
  POTLUCK_ASSIGN_OR_RETURN(files->seen_, files->Look());
  POTLUCK_ASSIGN_OR_RETURN(files->current_, files->Read());
  return files;
}

absl::StatusOr<CertificateFiles::Files> CertificateFiles::Look() const {
  Files files;
  POTLUCK_ASSIGN_OR_RETURN(files.chain, IdentifyFile(chain_path_));
  POTLUCK_ASSIGN_OR_RETURN(files.key, IdentifyFile(key_path_));
  return files;
}

absl::StatusOr<ServerCertificate> CertificateFiles::Read() const {
  ServerCertificate read;
  POTLUCK_ASSIGN_OR_RETURN(read.chain, ReadFile(chain_path_, kMostPemBytes));
  POTLUCK_ASSIGN_OR_RETURN(read.private_key, ReadFile(key_path_, kMostPemBytes));
  read.for_asio = std::make_shared<ssl::context>(ssl::context::tls_server);
  ssl::context& context = *read.for_asio;
  boost::system::error_code error;
  context.set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                      ssl::context::no_tlsv1_1);
  // OpenSSL would ask on the terminal.
  context.set_password_callback([](size_t, ssl::context::password_purpose) { return ""; }, error);
  context.use_certificate_chain(boost::asio::buffer(read.chain), error);
  if (error)
    return Useless(chain_path_, "holds no certificate in PEM: give the chain, the own one first",
                   error);
  context.use_private_key(boost::asio::buffer(read.private_key), ssl::context::pem, error);
  if (error)
    return Useless(key_path_,
                   "holds no private key of that certificate, in PEM and without a password: give "
                   "it with --tls-key",
                   error);
  // A key of another kind than the certificate's goes unnoticed until here.
  if (SSL_CTX_check_private_key(context.native_handle()) != 1)
    return absl::InvalidArgumentError(
        absl::StrCat(key_path_, " holds no private key of the certificate in ", chain_path_,
                     ", the first one there: give it with --tls-key"));
  return read;
}

ServerCertificate CertificateFiles::Current() {
  MutexLock lock(mutex_);
  const absl::StatusOr<Files> files = Look();
  if (!files.ok() || *files == seen_) return current_;
  seen_ = *files;
  absl::StatusOr<ServerCertificate> read = Read();
  if (!read.ok()) {
    Log(LogLevel::kWarning, "new certificate not used; the former one stays",
        {{"status", read.status()}});
    return current_;
  }
  read->version = current_.version + 1;
  current_ = *std::move(read);
  Log(LogLevel::kInfo, "new certificate in use", {{"file", chain_path_}});
  return current_;
}

}  // namespace potluck::coordinator
