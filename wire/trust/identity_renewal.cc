#include "wire/trust/identity_renewal.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "wire/trust/stored_identity.h"

namespace potluck::wire {

IdentityRenewal::IdentityRenewal(Options options, Executor& executor, Executor& files)
    : options_(std::move(options)),
      identity_(options_.identity),
      executor_(executor),
      files_(files),
      timer_(executor) {
  timer_.Start(absl::ZeroDuration(), [this] { Look(); });
}

void IdentityRenewal::Look() {
  const absl::StatusOr<IdentityLife> life = LifeOf(identity_);
  const absl::Time now = options_.now();
  if (life.ok() && now < life->renew) {
    timer_.Start(std::min(kLook, life->renew - now), [this] { Look(); });
    return;
  }
  files_.Post([this, &executor = executor_, alive = std::weak_ptr(alive_), renew = options_.renew,
               identity = identity_] {
    executor.Post([this, alive, answer = renew(identity)]() mutable {
      if (!alive.expired()) OnAnswer(std::move(answer));
    });
  });
}

void IdentityRenewal::OnAnswer(absl::StatusOr<TlsIdentity> answer) {
  absl::Duration wait = kShortestWait;
  if (answer.ok()) {
    identity_ = *std::move(answer);
    wait_ = kShortestWait;
    Log(LogLevel::kInfo, "certificate renewed", {{"id", identity_.id}});
    options_.renewed(identity_);
  } else {
    wait = wait_;
    wait_ = std::min(kLongestWait, wait_ * 2);
    const absl::StatusOr<IdentityLife> life = LifeOf(identity_);
    Log(LogLevel::kWarning, "certificate not renewed",
        {{"status", answer.status()},
         {"good_for", life.ok() ? life->end - options_.now() : absl::ZeroDuration()},
         {"again_in", wait}});
  }
  timer_.Start(wait, [this] { Look(); });
}

}  // namespace potluck::wire
