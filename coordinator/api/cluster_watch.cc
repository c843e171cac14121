#include "coordinator/api/cluster_watch.h"

#include <utility>

#include "coordinator/api/cluster_json.h"

namespace potluck::coordinator {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(500);
// Proxies close what is silent for longer.
constexpr absl::Duration kLongestSilence = absl::Seconds(15);

}  // namespace

ClusterWatch::ClusterWatch(Coordinator& coordinator, Executor& executor)
    : coordinator_(coordinator), executor_(executor), next_(executor) {}

ClusterWatch::~ClusterWatch() {
  for (const Watching& one : watching_) one.watcher->OnEnd();
}

absl::StatusOr<std::function<void()>> ClusterWatch::Add(std::shared_ptr<ClusterWatcher> watcher) {
  if (watching_.size() >= kMostWatchers)
    return absl::ResourceExhaustedError("too many watch already: try again later");
  const auto place = watching_.insert(watching_.end(), {std::move(watcher)});
  Look();
  return [this, place, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) watching_.erase(place);
  };
}

void ClusterWatch::Look() {
  if (watching_.empty()) return;
  const absl::Duration now = executor_.clock().SinceStart();
  nlohmann::ordered_json state = ClusterJson(coordinator_, now);
  const bool changed = state != state_;
  const bool silent = !changed && now - said_at_ >= kLongestSilence;
  if (changed) {
    state_ = std::move(state);
    ++number_;
  }
  if (changed || silent) said_at_ = now;
  for (Watching& one : watching_) {
    if (one.told != number_ && one.watcher->HasReadAll()) {
      one.told = number_;
      one.watcher->OnState(state_, number_);
    } else if (silent) {
      one.watcher->OnNothingNew();
    }
  }
  next_.Start(kInterval, [this] { Look(); });
}

}  // namespace potluck::coordinator
