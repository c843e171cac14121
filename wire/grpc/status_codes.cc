#include "wire/grpc/status_codes.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace potluck::wire {
namespace {

constexpr size_t kMaxMessageBytes = 1000;  // of a text from a peer, or towards one

// gRPC's own words for a handshake that failed, in words for people. OK where it is none.
absl::Status HandshakeFailure(const std::string& message) {
  if (absl::StrContains(message, "CERTIFICATE_VERIFY_FAILED")) {
    return absl::UnauthenticatedError("its certificate is not of this cluster, or has expired");
  }
  if (absl::StrContains(message, "Peer name") || absl::StrContains(message, "Hostname")) {
    return absl::UnauthenticatedError("its certificate belongs to another member of the cluster");
  }
  if (absl::StrContains(message, "Ssl handshake failed") ||
      absl::StrContains(message, "SSL_ERROR")) {
    return absl::UnavailableError(
        "the TLS handshake failed: what answers there is no member of this cluster (if it is "
        "another cluster: join it with a line of its `potluck join-code`)");
  }
  return absl::OkStatus();
}

}  // namespace

int32_t CodeOnWire(absl::StatusCode code) { return static_cast<int32_t>(code); }

std::optional<absl::StatusCode> CodeFromWire(int32_t code) {
  if (code < 0 || code > static_cast<int32_t>(absl::StatusCode::kUnauthenticated))
    return std::nullopt;
  return static_cast<absl::StatusCode>(code);
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(CodeOnWire(status.code())),
                      Printable(ToStd(status.message()), kMaxMessageBytes));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const absl::StatusCode code =
      CodeFromWire(static_cast<int32_t>(status.error_code())).value_or(absl::StatusCode::kUnknown);
  if (code == absl::StatusCode::kUnavailable) {
    const absl::Status why = HandshakeFailure(status.error_message());
    if (!why.ok()) return why;
  }
  if (code == absl::StatusCode::kCancelled)
    return absl::UnavailableError("the connection has been ended");
  return absl::Status(code, ToAbsl(Printable(status.error_message(), kMaxMessageBytes)));
}

}  // namespace potluck::wire
