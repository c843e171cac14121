#include "wire/trust/found_cluster.h"

#include <netdb.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/host_port.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "wire/trust/certificates.h"

namespace potluck::wire {
namespace {

using ContextPtr = std::unique_ptr<SSL_CTX, OpenSslFree<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, OpenSslFree<SSL_free>>;
using Clock = std::chrono::steady_clock;

// A chain is a few of them.
constexpr size_t kMaxReceivedBytes = size_t{256} << 10;

absl::Status SystemError(const char* what) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, ": ", strerror(errno)));
}

class Probe {
 public:
  explicit Probe(Clock::time_point until) : until_(until) {}
  ~Probe() {
    if (socket_ >= 0) close(socket_);
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  absl::Status Connect(const addrinfo& to) {
    socket_ = socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_ < 0) return SystemError("make a socket");
    if (connect(socket_, to.ai_addr, to.ai_addrlen) == 0) return absl::OkStatus();
    if (errno != EINPROGRESS) return SystemError("connect");
    POTLUCK_RETURN_IF_ERROR(Wait(POLLOUT));
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
      return SystemError("connect");
    errno = error;
    return error == 0 ? absl::OkStatus() : SystemError("connect");
  }

  // Until the peer has shown its certificates, which stay in `ssl`.
  absl::Status Handshake(SSL& ssl) {
    BIO* const in = BIO_new(BIO_s_mem());
    BIO* const out = BIO_new(BIO_s_mem());
    SSL_set_bio(&ssl, in, out);  // owned by it now
    SSL_set_connect_state(&ssl);
    for (;;) {
      const int result = SSL_do_handshake(&ssl);
      const int error = SSL_get_error(&ssl, result);
      POTLUCK_RETURN_IF_ERROR(SendAll(*out));
      if (result == 1) return absl::OkStatus();
      ERR_clear_error();
      if (error != SSL_ERROR_WANT_READ) {
        return absl::UnavailableError(
            "what answers there does not speak TLS as a Potluck coordinator does");
      }
      POTLUCK_RETURN_IF_ERROR(ReceiveSome(*in));
    }
  }

 private:
  absl::Status Wait(short events) {
    for (;;) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(until_ - Clock::now()).count();
      pollfd wanted{socket_, events, 0};
      const int ready = left <= 0 ? 0 : poll(&wanted, 1, static_cast<int>(left));
      if (ready > 0) return absl::OkStatus();
      if (ready == 0) return absl::UnavailableError("no answer in time");
      if (errno != EINTR) return SystemError("wait for the network");
    }
  }

  absl::Status SendAll(BIO& bio) {
    char* data = nullptr;
    auto left = static_cast<size_t>(BIO_get_mem_data(&bio, &data));
    while (left > 0) {
      const ssize_t sent = send(socket_, data, left, MSG_NOSIGNAL);
      if (sent > 0) {
        data += sent;
        left -= static_cast<size_t>(sent);
      } else if (errno == EAGAIN) {
        POTLUCK_RETURN_IF_ERROR(Wait(POLLOUT));
      } else if (errno != EINTR) {
        return SystemError("send");
      }
    }
    static_cast<void>(BIO_reset(&bio));
    return absl::OkStatus();
  }

  absl::Status ReceiveSome(BIO& bio) {
    std::array<char, 4096> bytes;
    for (;;) {
      POTLUCK_RETURN_IF_ERROR(Wait(POLLIN));
      const ssize_t received = recv(socket_, bytes.data(), bytes.size(), 0);
      if (received > 0) {
        received_bytes_ += static_cast<size_t>(received);
        if (received_bytes_ > kMaxReceivedBytes)
          return absl::UnavailableError("what answers there sends too much");
        BIO_write(&bio, bytes.data(), static_cast<int>(received));
        return absl::OkStatus();
      }
      if (received == 0) return absl::UnavailableError("what answers there hangs up");
      if (errno != EAGAIN && errno != EINTR) return SystemError("receive");
    }
  }

  const Clock::time_point until_;
  int socket_ = -1;
  size_t received_bytes_ = 0;
};

// The certificate, of those that were shown, whose key has the name.
absl::StatusOr<std::string> AuthorityIn(const SSL& ssl, const std::string& key_name) {
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(&ssl);
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain); ++i) {
    const X509* certificate = sk_X509_value(chain, i);
    const EVP_PKEY* key = X509_get0_pubkey(certificate);
    if (key == nullptr) continue;
    const absl::StatusOr<std::string> name = NameOfKey(*key);
    if (name.ok() && *name == key_name) return ToPem(*certificate);
  }
  return absl::PermissionDeniedError(
      "what answers there is not the cluster of this join code: the code is of another cluster, or "
      "somebody stands in between");
}

absl::StatusOr<std::string> TryAddress(const addrinfo& to, const std::string& key_name,
                                       Clock::time_point until) {
  Probe probe(until);
  POTLUCK_RETURN_IF_ERROR(probe.Connect(to));
  const ContextPtr context(SSL_CTX_new(TLS_client_method()));
  const SslPtr ssl(context ? SSL_new(context.get()) : nullptr);
  static constexpr std::array<unsigned char, 3> kHttp2 = {2, 'h', '2'};
  if (!ssl || SSL_set_min_proto_version(ssl.get(), TLS1_2_VERSION) != 1 ||
      SSL_set_alpn_protos(ssl.get(), kHttp2.data(), kHttp2.size()) != 0) {
    return OpenSslError("cannot begin TLS");
  }
  // Nothing is believed: the caller compares the key's name, and what is said later goes over a
  // connection that is verified.
  SSL_set_verify(ssl.get(), SSL_VERIFY_NONE, nullptr);
  POTLUCK_RETURN_IF_ERROR(probe.Handshake(*ssl));
  return AuthorityIn(*ssl, key_name);
}

std::string NumericAddress(const addrinfo& item, uint16_t port) {
  std::array<char, NI_MAXHOST> host{};
  if (getnameinfo(item.ai_addr, item.ai_addrlen, host.data(), host.size(), nullptr, 0,
                  NI_NUMERICHOST) != 0) {
    return "";
  }
  return JoinHostPort(host.data(), port);
}

}  // namespace

absl::StatusOr<FoundCluster> FindCluster(const std::string& address, const std::string& key_name,
                                         absl::Duration timeout) {
  POTLUCK_ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(address));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(parsed.port);
  const int unknown = getaddrinfo(parsed.host.c_str(), port.c_str(), &hints, &found);
  if (unknown != 0) {
    return absl::UnavailableError(absl::StrCat("cannot find the host '", Printable(parsed.host),
                                               "': ", gai_strerror(unknown)));
  }
  const absl::Cleanup free = [found] { freeaddrinfo(found); };
  const Clock::time_point until = Clock::now() + absl::ToChronoMilliseconds(timeout);
  int left = 0;
  for (const addrinfo* item = found; item != nullptr; item = item->ai_next) ++left;
  absl::Status error = absl::UnavailableError("the host has no address");
  for (const addrinfo* item = found; item != nullptr; item = item->ai_next, --left) {
    // Each has its share of the time that is left.
    const Clock::time_point now = Clock::now();
    const auto authority = TryAddress(*item, key_name, now + (until - now) / left);
    if (authority.ok()) return FoundCluster{*authority, NumericAddress(*item, parsed.port)};
    error = authority.status();
    if (absl::IsPermissionDenied(error)) break;
  }
  return Annotate(error, absl::StrCat("cannot join at ", Printable(address)));
}

}  // namespace potluck::wire
