#include "coordinator/membership/metrics_relay.h"

#include <algorithm>
#include <utility>

namespace potluck::coordinator {

void MetricsRelay::Ask(const wire::WorkerId& worker, Done done) {
  if (waiting_.size() >= kMostWaiting)
    return done(absl::ResourceExhaustedError("too many wait for workers' metrics already"));
  const int64_t number = next_++;
  if (!send_(worker, wire::MetricsRequest{.number = number}))
    return done(absl::UnavailableError("this worker is not here now"));
  const Place place = waiting_.emplace(waiting_.end(), worker, number, std::move(done), executor_);
  place->patience.Start(kPatience, [this, place] {
    End(place, absl::DeadlineExceededError("the worker does not answer"));
  });
}

void MetricsRelay::OnReply(const wire::WorkerId& worker, wire::MetricsReply reply) {
  const Place place = std::ranges::find_if(waiting_, [&](const Waiting& one) {
    return one.worker == worker && one.number == reply.number;
  });
  if (place != waiting_.end()) End(place, std::move(reply.text));
}

void MetricsRelay::OnLost(const wire::WorkerId& worker) {
  for (Place place = waiting_.begin(); place != waiting_.end();) {
    const Place one = place++;
    if (one->worker == worker) End(one, absl::UnavailableError("the worker has gone"));
  }
}

void MetricsRelay::End(Place place, absl::StatusOr<std::string> text) {
  const Done done = std::move(place->done);
  waiting_.erase(place);
  done(std::move(text));
}

}  // namespace potluck::coordinator
