#include "coordinator/api/http/cluster_events.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "coordinator/api/cluster_json.h"
#include "coordinator/api/http/replies.h"

namespace potluck::coordinator {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(500);
// Proxies close what is silent for longer.
constexpr absl::Duration kLongestSilence = absl::Seconds(15);

}  // namespace

ClusterEvents::ClusterEvents(Coordinator& coordinator, Executor& executor)
    : coordinator_(coordinator), executor_(executor), next_(executor) {}

ClusterEvents::~ClusterEvents() {
  for (const Watcher& watcher : watchers_) watcher.exchange->End();
}

void ClusterEvents::Watch(std::shared_ptr<HttpExchange> exchange) {
  if (watchers_.size() >= kMostWatchers) {
    return RespondError(*exchange,
                        absl::ResourceExhaustedError("too many watch already: try again later"));
  }
  exchange->BeginStream(200, "text/event-stream", {{"Cache-Control", "no-cache"}});
  const auto place = watchers_.insert(watchers_.end(), {exchange});
  exchange->OnGone([this, place, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) watchers_.erase(place);
  });
  Look();
}

void ClusterEvents::Look() {
  if (watchers_.empty()) return;
  const absl::Duration now = executor_.clock().SinceStart();
  std::string state = Dump(ClusterJson(coordinator_, now));
  const bool changed = state != state_;
  const bool silent = !changed && now - said_at_ >= kLongestSilence;
  if (changed) {
    state_ = std::move(state);
    ++number_;
  }
  if (changed || silent) said_at_ = now;
  for (Watcher& watcher : watchers_) {
    if (watcher.told != number_ && watcher.exchange->queued_bytes() == 0) {
      watcher.told = number_;
      watcher.exchange->Write(absl::StrCat("data: ", state_, "\n\n"));
    } else if (silent) {
      watcher.exchange->Write(": nothing new\n\n");
    }
  }
  next_.Start(kInterval, [this] { Look(); });
}

}  // namespace potluck::coordinator
