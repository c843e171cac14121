#include "worker/links/link_measurement.h"

#include <algorithm>
#include <string>
#include <utility>

namespace potluck::worker {
namespace {

const absl::Duration kLongest = absl::Seconds(30);

}  // namespace

LinkMeasurement::LinkMeasurement(const wire::WorkerId& peer, Executor& executor,
                                 absl::AnyInvocable<Sent(wire::Ping)> send,
                                 absl::AnyInvocable<void(wire::LinkMeasured)> done)
    : executor_(executor), send_(std::move(send)), done_(std::move(done)), deadline_(executor) {
  result_.peer = peer;
}

void LinkMeasurement::Start() {
  deadline_.Start(kLongest, [this] {
    Finish(absl::UnavailableError("the peer did not answer within half a minute"));
  });
  SendSmall();
}

void LinkMeasurement::SendSmall() {
  sent_at_ = executor_.clock().SinceStart();
  if (send_({.number = ++number_, .echo = true, .bytes = {}}) == Sent::kNoLink)
    Finish(absl::UnavailableError("there is no link to the peer"));
}

// The last one is small and comes back once the others have arrived.
void LinkMeasurement::SendLarge() {
  large_ = true;
  sent_at_ = executor_.clock().SinceStart();
  for (int i = 0; i < kLargePings; ++i)
    send_({.number = 0, .echo = false, .bytes = std::string(kLargeBytes, '\0')});
  send_({.number = ++number_, .echo = true, .bytes = {}});
}

void LinkMeasurement::OnPong(const wire::Ping& pong) {
  if (pong.number != number_ || !done_) return;
  const absl::Duration took = executor_.clock().SinceStart() - sent_at_;
  if (large_) {
    const double seconds =
        absl::ToDoubleSeconds(std::max(took - round_trip_, absl::Microseconds(1)));
    result_.round_trip_seconds = absl::ToDoubleSeconds(round_trip_);
    result_.bytes_per_second = kLargePings * kLargeBytes / seconds;
    Finish(absl::OkStatus());
    return;
  }
  // The first one may wait until the link is up.
  if (number_ > 1) round_trip_ = std::min(round_trip_, took);
  if (number_ <= kSmallPings) {
    SendSmall();
  } else {
    SendLarge();
  }
}

void LinkMeasurement::Finish(const absl::Status& status) {
  deadline_.Cancel();
  result_.status = status;
  if (done_) std::exchange(done_, nullptr)(std::move(result_));
}

}  // namespace potluck::worker
