#include "wire/trust/join_desk.h"

#include <utility>

#include "common/host_port.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "wire/version.h"

namespace potluck::wire {
namespace {

// Bounds what a stranger can make us hash; ours are a tenth of it.
constexpr size_t kMaxRequestBytes = 4096;

}  // namespace

JoinDesk::JoinDesk(const ClusterAuthority& authority, JoinCodes& codes,
                   std::function<absl::Time()> now, std::string build)
    : authority_(authority),
      codes_(codes),
      now_(std::move(now)),
      version_(OurVersion(std::move(build))) {}

absl::StatusOr<std::string> JoinDesk::Admit(const JoinAttempt& attempt) {
  POTLUCK_RETURN_IF_ERROR(
      CheckVersion(version_, attempt.version, "the coordinator", "this worker"));
  if (attempt.certificate_request.size() > kMaxRequestBytes)
    return absl::InvalidArgumentError("the certificate request is too long");
  const absl::Time now = now_();
  const bool renewal = !attempt.proved.empty() && attempt.proof.empty();
  if (!renewal) {
    const absl::StatusOr<HostPort> from = ParseHostPort(attempt.address);
    const std::string host = from.ok() ? from->host : attempt.address;
    const absl::Status proved = CheckProof(attempt, host, now);
    if (!proved.ok()) {
      Log(LogLevel::kWarning, "join refused", {{"from", host}, {"why", proved}});
      return proved;
    }
  }
  POTLUCK_ASSIGN_OR_RETURN(MemberCertificate issued,
                           authority_.Issue(attempt.certificate_request, now));
  if (renewal && issued.id != attempt.proved) {
    return absl::PermissionDeniedError(
        "a certificate is renewed for the key that it had: join with a code to use another key");
  }
  Log(LogLevel::kInfo, renewal ? "certificate renewed" : "machine joined",
      {{"worker", issued.id}, {"name", Printable(attempt.name)}, {"from", attempt.address}});
  return std::move(issued.chain);
}

absl::Status JoinDesk::CheckProof(const JoinAttempt& attempt, const std::string& host,
                                  absl::Time now) {
  if (now - minute_ >= absl::Minutes(1) || now < minute_) {
    minute_ = now;
    wrong_.clear();
    num_wrong_ = 0;
  }
  const auto found = wrong_.find(host);
  if (num_wrong_ >= kMostWrong || (found != wrong_.end() && found->second >= kMostWrongOfHost)) {
    return absl::ResourceExhaustedError(
        "too many wrong join codes have come: wait a minute, then try again with the right one");
  }
  const absl::Status checked = codes_.Check(attempt.certificate_request, attempt.proof, now);
  if (!checked.ok()) {
    ++wrong_[host];
    ++num_wrong_;
  }
  return checked;
}

}  // namespace potluck::wire
