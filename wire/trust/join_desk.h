// PLACEHOLDER
#pragma once
#include <string>

#include "absl/status/statusor.h"
#include "wire/messages.h"

namespace potluck::wire {

// What a machine that wants to join has sent, and over which connection.
struct JoinAttempt {
  Version version;
  std::string certificate_request;  // PKCS #10, DER
  std::string proof;
  std::string name;
  std::string address;  // "HOST:PORT" that it comes from
  WorkerId proved;      // the member that the connection has proved, when renewing
};

class JoinDesk {
 public:
  virtual ~JoinDesk() = default;
  virtual absl::StatusOr<std::string> Admit(const JoinAttempt& attempt) = 0;
};

}  // namespace potluck::wire
