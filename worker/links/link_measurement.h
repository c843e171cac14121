// Measures a data link: a few small pings for the round trip, then about 4 MiB for the bandwidth.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "wire/messages.h"
#include "worker/stage/hosted_stage.h"

namespace potluck::worker {

// Single-threaded: lives on its worker's executor.
class LinkMeasurement {
 public:
  static constexpr int kSmallPings = 8;
  static constexpr int kLargePings = 4;
  static constexpr int64_t kLargeBytes = int64_t{1} << 20;

  // `send` puts a ping on the link; `done` is called once, in a task of its own turn or within
  // OnPong, OnLost or the deadline: the object may be destroyed after, not within.
  LinkMeasurement(const wire::WorkerId& peer, Executor& executor,
                  absl::AnyInvocable<Sent(wire::Ping)> send,
                  absl::AnyInvocable<void(wire::LinkMeasured)> done);

  void Start();
  void OnPong(const wire::Ping& pong);
  void OnLost(const absl::Status& why) {
    Finish(why.ok() ? absl::UnavailableError("the peer has closed the link") : why);
  }

 private:
  void SendSmall();
  void SendLarge();
  void Finish(const absl::Status& status);

  Executor& executor_;
  absl::AnyInvocable<Sent(wire::Ping)> send_;
  absl::AnyInvocable<void(wire::LinkMeasured)> done_;
  Timer deadline_;
  wire::LinkMeasured result_;
  int64_t number_ = 0;  // of the ping whose answer is awaited
  absl::Duration sent_at_;
  absl::Duration round_trip_ = absl::InfiniteDuration();
  bool large_ = false;
};

}  // namespace potluck::worker
