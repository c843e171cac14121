// The one place where status codes of gRPC, of Abseil and of the wire meet.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace potluck::wire {

int32_t CodeOnWire(absl::StatusCode code);
// Nothing for a number that no code has.
std::optional<absl::StatusCode> CodeFromWire(int32_t code);

grpc::Status ToGrpc(const absl::Status& status);
// Of a call that has ended. What gRPC says of TLS and connections becomes a sentence for people;
// a connection's failures are Unavailable, or Unauthenticated where somebody else answers.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace potluck::wire
