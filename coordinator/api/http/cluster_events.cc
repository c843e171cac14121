#include "coordinator/api/http/cluster_events.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "coordinator/api/http/replies.h"

namespace potluck::coordinator {
namespace {

class WatchingExchange final : public ClusterWatcher {
 public:
  explicit WatchingExchange(std::shared_ptr<HttpExchange> exchange)
      : exchange_(std::move(exchange)) {}

  bool HasReadAll() const override { return exchange_->queued_bytes() == 0; }
  void OnState(const nlohmann::ordered_json& state, int64_t /*number*/) override {
    Begin();
    exchange_->Write(absl::StrCat("data: ", Dump(state), "\n\n"));
  }
  void OnNothingNew() override { exchange_->Write(": nothing new\n\n"); }
  void OnEnd() override { exchange_->End(); }

 private:
  // With its first state, so that who cannot watch gets an error instead.
  void Begin() {
    if (std::exchange(begun_, true)) return;
    exchange_->BeginStream(200, kEventStream, {{"Cache-Control", "no-cache"}});
  }

  const std::shared_ptr<HttpExchange> exchange_;
  bool begun_ = false;
};

}  // namespace

void WatchCluster(ClusterWatch& watch, std::shared_ptr<HttpExchange> exchange) {
  auto leave = watch.Add(std::make_shared<WatchingExchange>(exchange));
  if (!leave.ok()) return RespondError(*exchange, leave.status());
  exchange->OnGone(*std::move(leave));
}

}  // namespace potluck::coordinator
