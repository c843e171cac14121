// Where the coordinator lets machines into its cluster, and renews their certificates.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "wire/messages.h"
#include "wire/trust/cluster_authority.h"
#include "wire/trust/join_codes.h"

namespace potluck::wire {

// What a machine that wants to join has sent, and over which connection.
struct JoinAttempt {
  Version version;
  std::string certificate_request;  // PKCS #10, DER
  std::string proof;                // join_proof.h; empty when renewing
  std::string name;
  std::string address;  // "HOST:PORT" that it comes from
  WorkerId proved;      // the member that the connection has proved, when renewing
};

// Single-threaded.
class JoinDesk {
 public:
  // From one host, and from all together, so many wrong codes within a minute; then that host, or
  // all, have to wait.
  static constexpr int kMostWrongOfHost = 5, kMostWrong = 60;

  // `authority` and `codes` must outlive it. `now`: of the wall clock. `build`: for people.
  JoinDesk(const ClusterAuthority& authority, JoinCodes& codes, std::function<absl::Time()> now,
           std::string build);

  // The chain of certificates for the attempt's key (PEM). PermissionDenied: a wrong or an old
  // code, or another member's key. ResourceExhausted: too many wrong codes. FailedPrecondition: a
  // version that is not understood here. InvalidArgument: no request for a certificate.
  absl::StatusOr<std::string> Admit(const JoinAttempt& attempt);

 private:
  absl::Status CheckProof(const JoinAttempt& attempt, const std::string& host, absl::Time now);

  const ClusterAuthority& authority_;
  JoinCodes& codes_;
  const std::function<absl::Time()> now_;
  const Version version_;
  // Wrong codes since the minute began: at most kMostWrong hosts.
  absl::Time minute_ = absl::InfinitePast();
  std::map<std::string, int> wrong_;
  int num_wrong_ = 0;
};

}  // namespace potluck::wire
