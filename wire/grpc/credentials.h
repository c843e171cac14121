// The one place where gRPC channels, servers and their credentials are made: within the cluster
// mutual TLS always, on loopback, too; for people's programs as they choose. Also how connections
// are tuned.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "grpcpp/channel.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "wire/trust/tls_identity.h"

namespace potluck::wire {

// A connection of its own to `target` ("ipv4:10.0.0.2:7071"), used by nobody else. Only `peer` is
// accepted at the other end.
std::shared_ptr<grpc::Channel> MakeChannel(const TlsIdentity& identity, const WorkerId& peer,
                                           const std::string& target);
// For Join: this side shows no certificate. `authority`: PEM.
std::shared_ptr<grpc::Channel> MakeJoinChannel(const std::string& authority,
                                               const std::string& target);

// What a server shows to those who connect; it may be replaced while the server listens.
// Thread-safe.
class ServerIdentity {
 public:
  explicit ServerIdentity(TlsIdentity identity) : identity_(std::move(identity)) {}

  // For connections from now on.
  void Replace(TlsIdentity identity) {
    MutexLock lock(mutex_);
    identity_ = std::move(identity);
    ++version_;
  }
  // The identity, and a number that is another one after each Replace.
  std::pair<TlsIdentity, int64_t> Get() const {
    MutexLock lock(mutex_);
    return {identity_, version_};
  }
  int64_t version() const {
    MutexLock lock(mutex_);
    return version_;
  }

 private:
  mutable Mutex mutex_;
  TlsIdentity identity_ ABSL_GUARDED_BY(mutex_);
  int64_t version_ ABSL_GUARDED_BY(mutex_) = 1;
};

struct ListeningServer {
  std::vector<std::shared_ptr<grpc::ServerCredentials>> credentials;  // outlive the server
  std::shared_ptr<grpc::ServerCompletionQueue> queue;  // to be shut down after the server
  std::unique_ptr<grpc::Server> server;
  std::vector<std::string> addresses;  // as asked for, with the ports that were chosen
};
// Clients without a certificate get through to the services, those with one of another authority do
// not. `addresses`: "HOST:PORT", port 0: any free one. Unavailable where an address cannot be
// listened on.
absl::StatusOr<ListeningServer> StartServer(const std::shared_ptr<const ServerIdentity>& identity,
                                            const std::vector<std::string>& addresses,
                                            const std::vector<grpc::Service*>& services);

// A certificate that a server shows to people's programs; PEM.
struct ShownCertificate {
  std::string chain, private_key;
  int64_t version = 1;  // another one for each certificate
};
struct PublicServerOptions {
  std::vector<std::string> addresses;
  // Asked before each handshake. Null: plain text, the one exception to TLS everywhere.
  std::function<ShownCertificate()> certificate;
  int max_message_bytes = 4 << 20;  // that is received
};
struct PublicServer {
  std::vector<std::shared_ptr<grpc::ServerCredentials>> credentials;  // outlive the server
  std::unique_ptr<grpc::Server> server;
  std::vector<std::string> addresses;
};
// For people: nobody has to show a certificate. With the standard health service and reflection,
// and services of gRPC's callback interface.
absl::StatusOr<PublicServer> StartPublicServer(const PublicServerOptions& options,
                                               const std::vector<grpc::Service*>& services);

// The member of the cluster that the connection has proved; empty if none.
WorkerId ProvedMember(const grpc::AuthContext& context);

}  // namespace potluck::wire
