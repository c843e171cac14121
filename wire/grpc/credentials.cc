#include "wire/grpc/credentials.h"

#include <mutex>

#include "absl/strings/str_cat.h"
#include "common/host_port.h"
#include "common/status_macros.h"
#include "google/protobuf/stubs/logging.h"
#include "grpc/grpc.h"
#include "grpc/grpc_security.h"
#include "grpc/support/log.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/server_builder.h"
#include "wire/grpc/codec.h"

namespace potluck::wire {
namespace {

constexpr int kMaxMessageBytes = static_cast<int>(kMaxFrameBytes) + 4096;  // with gRPC's own
// A dead peer is found within their sum; the kernel's TCP_USER_TIMEOUT follows the second.
constexpr int kKeepAliveMs = 5'000;
constexpr int kKeepAliveTimeoutMs = 5'000;
constexpr int kConnectTimeoutMs = 5'000;
constexpr int kHandshakeTimeoutMs = 10'000;
// A connection without a stream has no business here: joining takes less.
constexpr int kIdleMs = 60'000;
// So much of a stream may be on its way before its reader has asked for it.
constexpr int kLookAheadBytes = 4 << 20;
constexpr int kHttp2FrameBytes = 256 << 10;
// Each member has few streams, each on a connection of its own.
constexpr int kMaxStreamsPerConnection = 16;

// What goes wrong is said in statuses; the libraries' own lines would only repeat it on standard
// error.
void SilenceLibraries() {
  static std::once_flag once;
  std::call_once(once, [] {
    gpr_set_log_function([](gpr_log_func_args*) {});
    google::protobuf::SetLogHandler(nullptr);  // a peer's bad UTF-8 would be a line each
  });
}

grpc::ChannelArguments ChannelOptions(const WorkerId& peer) {
  grpc::ChannelArguments options;
  options.SetSslTargetNameOverride(TlsName(peer));
  options.SetMaxReceiveMessageSize(kMaxMessageBytes);
  options.SetMaxSendMessageSize(kMaxMessageBytes);
  options.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs);
  options.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
  options.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  options.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  options.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  options.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  options.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  options.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  options.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kLookAheadBytes);
  options.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kHttp2FrameBytes);
  return options;
}

void SetServerOptions(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kKeepAliveMs / 2);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kLookAheadBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kHttp2FrameBytes);
  // Another process's port is not to be shared but to be reported as taken.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

// gRPC's own C++ credentials of a server show one certificate for ever. Its C interface asks for
// the present one before every handshake; each listening port asks for itself and remembers the
// answer.
class RenewableCredentials final : public grpc::ServerCredentials {
 public:
  explicit RenewableCredentials(std::shared_ptr<const ServerIdentity> identity)
      : identity_(std::move(identity)),
        credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY, &RenewableCredentials::Fetch,
                this))) {}
  ~RenewableCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // One at a time: the port has a lock around it.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    auto& port = *static_cast<RenewableCredentials*>(self);
    if (port.identity_->version() == port.given_)
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const auto [identity, version] = port.identity_->Get();
    const grpc_ssl_pem_key_cert_pair pair{identity.private_key.c_str(),
                                          identity.certificate.c_str()};
    *config = grpc_ssl_server_certificate_config_create(identity.authority.c_str(), &pair, 1);
    port.given_ = version;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<const ServerIdentity> identity_;
  grpc_server_credentials* const credentials_;
  int64_t given_ = 0;
};

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(const TlsIdentity& identity, const WorkerId& peer,
                                           const std::string& target) {
  SilenceLibraries();
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = identity.authority;
  tls.pem_private_key = identity.private_key;
  tls.pem_cert_chain = identity.certificate;
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(tls), ChannelOptions(peer));
}

std::shared_ptr<grpc::Channel> MakeJoinChannel(const std::string& authority,
                                               const std::string& target) {
  SilenceLibraries();
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = authority;
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(tls), ChannelOptions(kCoordinator));
}

absl::StatusOr<ListeningServer> StartServer(const std::shared_ptr<const ServerIdentity>& identity,
                                            const std::vector<std::string>& addresses,
                                            const std::vector<grpc::Service*>& services) {
  SilenceLibraries();
  grpc::ServerBuilder builder;
  SetServerOptions(builder);
  ListeningServer listening;
  std::vector<HostPort> asked;
  std::vector<int> ports(addresses.size());
  for (size_t i = 0; i < addresses.size(); ++i) {
    POTLUCK_ASSIGN_OR_RETURN(HostPort address, ParseHostPort(addresses[i]));
    listening.credentials.push_back(std::make_shared<RenewableCredentials>(identity));
    builder.AddListeningPort(JoinHostPort(address.host, address.port), listening.credentials.back(),
                             &ports[i]);
    asked.push_back(std::move(address));
  }
  for (grpc::Service* service : services) builder.RegisterService(service);

  listening.queue = builder.AddCompletionQueue();
  listening.server = builder.BuildAndStart();
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (listening.server && ports[i] != 0) {
      listening.addresses.push_back(JoinHostPort(asked[i].host, static_cast<uint16_t>(ports[i])));
      continue;
    }
    if (listening.server) listening.server->Shutdown();
    listening.queue->Shutdown();
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", addresses[i],
                     ": the port may be in use, or the address be of another machine"));
  }
  return listening;
}

WorkerId ProvedMember(const grpc::AuthContext& context) {
  if (!context.IsPeerAuthenticated()) return "";
  for (const grpc::string_ref& name : context.FindPropertyValues("x509_subject_alternative_name")) {
    WorkerId member = MemberOfTlsName(std::string(name.data(), name.size()));
    if (!member.empty()) return member;
  }
  return "";
}

}  // namespace potluck::wire
