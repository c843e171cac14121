#include "wire/grpc/join_client.h"

#include <memory>
#include <utility>

#include "common/status_macros.h"
#include "grpc/support/time.h"
#include "grpcpp/client_context.h"
#include "potluck/v1/cluster.grpc.pb.h"
#include "wire/grpc/credentials.h"
#include "wire/grpc/status_codes.h"
#include "wire/grpc/targets.h"
#include "wire/trust/found_cluster.h"
#include "wire/trust/join_proof.h"
#include "wire/trust/keys.h"
#include "wire/trust/stored_identity.h"
#include "wire/version.h"

namespace potluck::wire {
namespace {

constexpr absl::Duration kFindTimeout = absl::Seconds(15);
constexpr int64_t kAskSeconds = 15;

absl::StatusOr<TlsIdentity> Ask(const std::shared_ptr<grpc::Channel>& channel,
                                const std::string& private_key, v1::JoinRequest request,
                                const std::string& build) {
  const Version ours = OurVersion(build);
  request.mutable_version()->set_major(ours.major);
  request.mutable_version()->set_minor(ours.minor);
  request.mutable_version()->set_build(ours.build);
  grpc::ClientContext context;
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(kAskSeconds, GPR_TIMESPAN)));
  v1::JoinReply reply;
  POTLUCK_RETURN_IF_ERROR(FromGrpc(v1::Cluster::NewStub(channel)->Join(&context, request, &reply)));
  const Version theirs{reply.version().major(), reply.version().minor(), reply.version().build()};
  POTLUCK_RETURN_IF_ERROR(CheckVersion(ours, theirs, "this worker", "the coordinator"));
  return AssembleIdentity(private_key, reply.certificate());
}

}  // namespace

absl::StatusOr<TlsIdentity> JoinCluster(const JoinOptions& options) {
  const JoinLine& line = options.line;
  std::string private_key = options.private_key;
  if (private_key.empty()) {
    POTLUCK_ASSIGN_OR_RETURN(private_key, MakePrivateKey());
  }
  POTLUCK_ASSIGN_OR_RETURN(const FoundCluster cluster,
                           FindCluster(line.address, line.code.authority, kFindTimeout));
  POTLUCK_ASSIGN_OR_RETURN(const Targets targets, ParseTarget(cluster.address));
  if (targets.names.empty())
    return absl::UnavailableError("the coordinator's address cannot be dialled");

  v1::JoinRequest request;
  POTLUCK_ASSIGN_OR_RETURN(*request.mutable_certificate_request(),
                           MakeCertificateRequest(private_key));
  request.set_proof(JoinProof(line.code, request.certificate_request()));
  request.set_name(options.name);
  POTLUCK_ASSIGN_OR_RETURN(TlsIdentity identity,
                           Ask(MakeJoinChannel(cluster.authority, targets.names.front()),
                               private_key, std::move(request), options.build));
  POTLUCK_ASSIGN_OR_RETURN(const std::string signer, NameOfCertificateKey(identity.authority));
  if (signer != line.code.authority)
    return absl::PermissionDeniedError("the certificate that came is of another cluster");
  return identity;
}

absl::StatusOr<TlsIdentity> RenewIdentity(const TlsIdentity& identity, const std::string& address,
                                          const std::string& build) {
  POTLUCK_ASSIGN_OR_RETURN(Targets targets, ParseTarget(address));
  if (targets.needs_resolving) {
    POTLUCK_ASSIGN_OR_RETURN(targets.names, ResolveTarget(address));
  }
  v1::JoinRequest request;
  POTLUCK_ASSIGN_OR_RETURN(*request.mutable_certificate_request(),
                           MakeCertificateRequest(identity.private_key));
  absl::StatusOr<TlsIdentity> renewed = absl::UnavailableError("there is no address to dial");
  for (const std::string& target : targets.names) {
    renewed =
        Ask(MakeChannel(identity, kCoordinator, target), identity.private_key, request, build);
    if (renewed.ok() || !absl::IsUnavailable(renewed.status())) break;
  }
  if (renewed.ok() && renewed->authority != identity.authority)
    return absl::PermissionDeniedError("the certificate that came is of another cluster");
  return renewed;
}

}  // namespace potluck::wire
