// The worker's link to its coordinator: hello, welcome, heartbeats; dialled again for ever.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/executor.h"
#include "wire/link.h"
#include "wire/messages.h"
#include "worker/links/back_off.h"
#include "worker/retired.h"

namespace potluck::worker {

class ControlEvents {
 public:
  virtual ~ControlEvents() = default;
  // What is true now; asked before each dialling.
  virtual wire::WorkerHello MakeHello() = 0;
  virtual wire::Heartbeat MakeHeartbeat() = 0;
  virtual void OnWelcome(const wire::Welcome& welcome) = 0;
  // What comes after Welcome. An error closes the link with it.
  virtual absl::Status OnControl(wire::Message message) = 0;
  // `welcomed`: it had been a member. It will be dialled again.
  virtual void OnControlLost(const absl::Status& why, bool welcomed) = 0;
  // A heartbeat has been answered, so long after it was sent.
  virtual void OnHeartbeatAnswered(absl::Duration round_trip) = 0;
};

// Single-threaded: lives on its worker's executor.
class ControlLink final : public wire::LinkHandler {
 public:
  // Between dialling and Welcome.
  inline static const absl::Duration kWelcomeTime = absl::Seconds(10);
  // A coordinator that has answered heartbeats (Ping) and falls silent for so long is dialled anew.
  inline static const absl::Duration kSilence = absl::Seconds(5);

  // `version`: this worker's.
  ControlLink(const wire::Peer& coordinator, wire::Version version, Executor& executor,
              wire::Transport& transport, uint64_t seed, ControlEvents& events);

  void Dial();
  // False, and nothing is sent, where the worker is not joined.
  bool Tell(wire::Message message);
  bool joined() const { return joined_; }
  // Gives the present link up, and dials after a while.
  void Redial(const absl::Status& why);
  // For good.
  void Close(const absl::Status& why);

  void OnMessage(wire::Message message) override;
  void OnClosed(absl::Status why) override;

 private:
  absl::Status Handle(wire::Message message);
  absl::Status TakeWelcome(const wire::Message& message);
  void Beat();

  const wire::Peer coordinator_;
  const wire::Version version_;
  Executor& executor_;
  wire::Transport& transport_;
  ControlEvents& events_;
  BackOff back_off_;
  std::unique_ptr<wire::Link> link_;
  bool joined_ = false, ended_ = false;
  absl::Duration heartbeat_interval_;
  int64_t heartbeats_ = 0;
  std::optional<absl::Duration> beat_at_;  // of the last one, until it is answered
  Timer retry_, beat_;
  Timer silence_;  // until Welcome, then between answers
  Retired retired_;
};

}  // namespace potluck::worker
