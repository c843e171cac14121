#include "wire/grpc/credentials.h"

#include <mutex>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/host_port.h"
#include "common/status_macros.h"
#include "google/protobuf/stubs/logging.h"
#include "grpc/grpc.h"
#include "grpc/grpc_security.h"
#include "grpc/support/log.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/ext/health_check_service_server_builder_option.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
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

constexpr int kPublicKeepAliveMs = 30'000;
constexpr int kMaxPublicStreamsPerConnection = 256;
constexpr int kPublicIdleMs = 10 * 60'000;  // without a call
// Of what people's programs have sent, until it is a message.
constexpr size_t kPublicMemoryBytes = size_t{256} << 20;

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

// People's programs may be idle for long, and many calls share a connection.
void SetPublicServerOptions(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPublicKeepAliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPublicKeepAliveMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kPublicKeepAliveMs / 3);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kPublicIdleMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxPublicStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  grpc::ResourceQuota quota("people");
  quota.Resize(kPublicMemoryBytes);
  builder.SetResourceQuota(quota);
}

// gRPC's own C++ credentials of a server show one certificate for ever. Its C interface asks for
// the present one before every handshake; each listening port asks for itself and remembers the
// answer.
class RenewableCredentials final : public grpc::ServerCredentials {
 public:
  struct Shown {
    ShownCertificate certificate;
    std::string client_authority;  // PEM: who may have signed the clients'
  };
  // Tells what is to be shown, unless that is the given version.
  using Ask = std::function<std::optional<Shown>(int64_t version)>;

  RenewableCredentials(grpc_ssl_client_certificate_request_type of_clients, Ask ask)
      : ask_(std::move(ask)),
        credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                of_clients, &RenewableCredentials::Fetch, this))) {}
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
    const std::optional<Shown> shown = port.ask_(port.given_);
    if (!shown.has_value()) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair{shown->certificate.private_key.c_str(),
                                          shown->certificate.chain.c_str()};
    *config = grpc_ssl_server_certificate_config_create(shown->client_authority.c_str(), &pair, 1);
    port.given_ = shown->certificate.version;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const Ask ask_;
  grpc_server_credentials* const credentials_;
  int64_t given_ = 0;
};

std::shared_ptr<grpc::ServerCredentials> CredentialsOf(
    std::shared_ptr<const ServerIdentity> identity) {
  return std::make_shared<RenewableCredentials>(
      GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY,
      [identity =
           std::move(identity)](int64_t given) -> std::optional<RenewableCredentials::Shown> {
        if (identity->version() == given) return std::nullopt;
        const auto [shown, version] = identity->Get();
        return RenewableCredentials::Shown{{shown.certificate, shown.private_key, version},
                                           shown.authority};
      });
}

std::shared_ptr<grpc::ServerCredentials> CredentialsOf(
    std::function<ShownCertificate()> certificate) {
  return std::make_shared<RenewableCredentials>(
      GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
      [certificate =
           std::move(certificate)](int64_t given) -> std::optional<RenewableCredentials::Shown> {
        ShownCertificate shown = certificate();
        if (shown.version == given) return std::nullopt;
        // No client is asked for a certificate, but gRPC wants to know whose it would take.
        std::string nobody = shown.chain;
        return RenewableCredentials::Shown{std::move(shown), std::move(nobody)};
      });
}

// Whether a server tells of its services. Linked in, the plugin would put itself into every server.
class Reflection final : public grpc::ServerBuilderOption {
 public:
  explicit Reflection(bool reflection) : reflection_(reflection) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->clear();
    if (reflection_)
      plugins->push_back(std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>());
  }

 private:
  const bool reflection_;
};

// Adds ports to the builder; `ports` says which were chosen once the server is built.
absl::Status AddPorts(
    const std::vector<std::string>& addresses,
    const std::function<std::shared_ptr<grpc::ServerCredentials>()>& make_credentials,
    grpc::ServerBuilder& builder,
    std::vector<std::shared_ptr<grpc::ServerCredentials>>& credentials, std::vector<int>& ports) {
  ports.assign(addresses.size(), 0);
  for (size_t i = 0; i < addresses.size(); ++i) {
    POTLUCK_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(addresses[i]));
    credentials.push_back(make_credentials());
    builder.AddListeningPort(JoinHostPort(address.host, address.port), credentials.back(),
                             &ports[i]);
  }
  return absl::OkStatus();
}

// As asked for, with the ports that were chosen. `server` may be null.
absl::StatusOr<std::vector<std::string>> ListeningOn(const std::vector<std::string>& addresses,
                                                     const std::vector<int>& ports,
                                                     const grpc::Server* server) {
  std::vector<std::string> chosen;
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (server == nullptr || ports[i] == 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", addresses[i],
                       ": the port may be in use, or the address be of another machine"));
    }
    POTLUCK_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(addresses[i]));
    chosen.push_back(JoinHostPort(address.host, static_cast<uint16_t>(ports[i])));
  }
  return chosen;
}

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
  builder.SetOption(std::make_unique<Reflection>(false));
  builder.SetOption(std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
  ListeningServer listening;
  std::vector<int> ports;
  POTLUCK_RETURN_IF_ERROR(AddPorts(
      addresses, [&identity] { return CredentialsOf(identity); }, builder, listening.credentials,
      ports));
  for (grpc::Service* service : services) builder.RegisterService(service);

  listening.queue = builder.AddCompletionQueue();
  listening.server = builder.BuildAndStart();
  auto chosen = ListeningOn(addresses, ports, listening.server.get());
  if (!chosen.ok()) {
    if (listening.server) listening.server->Shutdown();
    listening.queue->Shutdown();
    return chosen.status();
  }
  listening.addresses = *std::move(chosen);
  return listening;
}

absl::StatusOr<PublicServer> StartPublicServer(const PublicServerOptions& options,
                                               const std::vector<grpc::Service*>& services) {
  SilenceLibraries();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  SetPublicServerOptions(builder);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetOption(std::make_unique<Reflection>(true));
  PublicServer listening;
  std::vector<int> ports;
  POTLUCK_RETURN_IF_ERROR(AddPorts(
      options.addresses,
      [&options] {
        return options.certificate ? CredentialsOf(options.certificate)
                                   : grpc::InsecureServerCredentials();
      },
      builder, listening.credentials, ports));
  for (grpc::Service* service : services) builder.RegisterService(service);
  listening.server = builder.BuildAndStart();
  POTLUCK_ASSIGN_OR_RETURN(listening.addresses,
                           ListeningOn(options.addresses, ports, listening.server.get()));
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
