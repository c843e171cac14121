#include "worker/links/control_link.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "wire/version.h"

namespace potluck::worker {

ControlLink::ControlLink(const wire::Peer& coordinator, wire::Version version, Executor& executor,
                         wire::Transport& transport, uint64_t seed, ControlEvents& events)
    : coordinator_(coordinator),
      version_(std::move(version)),
      executor_(executor),
      transport_(transport),
      events_(events),
      back_off_(seed),
      retry_(executor),
      beat_(executor),
      silence_(executor),
      retired_(executor) {}

void ControlLink::Dial() {
  if (ended_) return;
  link_ =
      transport_.Dial(coordinator_.worker, coordinator_.addresses, wire::LinkKind::kControl, *this);
  link_->Send(events_.MakeHello());
  silence_.Start(kWelcomeTime, [this] {
    Redial(absl::DeadlineExceededError("the coordinator does not answer"));
  });
}

bool ControlLink::Tell(wire::Message message) {
  if (joined_) link_->Send(std::move(message));
  return joined_;
}

void ControlLink::OnMessage(wire::Message message) {
  const absl::Status status = Handle(std::move(message));
  if (!status.ok()) Redial(status);
}

absl::Status ControlLink::Handle(wire::Message message) {
  if (!joined_) return TakeWelcome(message);
  if (const auto* ping = std::get_if<wire::Ping>(&message)) {
    if (ping->echo) return absl::InvalidArgumentError("pings belong on data links");
    silence_.Start(kSilence,
                   [this] { Redial(absl::UnavailableError("the coordinator has fallen silent")); });
    if (beat_at_.has_value())
      events_.OnHeartbeatAnswered(executor_.clock().SinceStart() - *std::exchange(beat_at_, {}));
    return absl::OkStatus();
  }
  return events_.OnControl(std::move(message));
}

absl::Status ControlLink::TakeWelcome(const wire::Message& message) {
  const auto* welcome = std::get_if<wire::Welcome>(&message);
  if (welcome == nullptr)
    return absl::InvalidArgumentError("a coordinator answers a hello with Welcome");
  POTLUCK_RETURN_IF_ERROR(
      wire::CheckVersion(version_, welcome->version, "this worker", "the coordinator"));
  silence_.Cancel();
  joined_ = true;
  beat_at_.reset();
  back_off_.Reset();
  heartbeat_interval_ =
      std::clamp(welcome->heartbeat_interval, absl::Milliseconds(50), absl::Seconds(10));
  events_.OnWelcome(*welcome);
  if (joined_) Beat();  // it may have been told to leave
  return absl::OkStatus();
}

void ControlLink::Beat() {
  wire::Heartbeat heartbeat = events_.MakeHeartbeat();
  heartbeat.number = ++heartbeats_;
  Tell(std::move(heartbeat));
  beat_at_ = executor_.clock().SinceStart();
  beat_.Start(heartbeat_interval_, [this] { Beat(); });
}

void ControlLink::OnClosed(absl::Status why) { Redial(why); }

void ControlLink::Redial(const absl::Status& why) {
  if (link_ == nullptr || ended_) return;
  const bool welcomed = std::exchange(joined_, false);
  beat_.Cancel();
  silence_.Cancel();
  link_->Close(why);
  retired_.Add(std::move(link_));
  events_.OnControlLost(why, welcomed);
  retry_.Start(back_off_.Next(), [this] { Dial(); });
}

void ControlLink::Close(const absl::Status& why) {
  if (std::exchange(ended_, true)) return;
  joined_ = false;
  for (Timer* timer : {&retry_, &beat_, &silence_}) timer->Cancel();
  if (link_ == nullptr) return;
  link_->Close(why);
  retired_.Add(std::move(link_));
}

}  // namespace potluck::worker
