// One stage of an instance in one epoch: takes the epoch's frames in their order, has the runner
// compute them, and passes each on to the next hop, or its tokens to the coordinator.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "wire/messages.h"
#include "worker/stage/stage_runner.h"

namespace potluck::worker {

enum class Sent : uint8_t {
  kYes,
  kFull,    // queued, but what can wait should wait for OnWritable
  kNoLink,  // there is none now: nothing was sent
};

// What a stage says to the outside.
class StageHost {
 public:
  virtual ~StageHost() = default;
  // On the control link, if the worker is joined.
  virtual void Tell(wire::Message message) = 0;
  virtual void SendResult(wire::StepResult result) = 0;
  virtual Sent Forward(const wire::Hop& next, wire::StageFrame frame) = 0;
};

// Single-threaded: lives on its worker's executor. Its runner may be another epoch's, too: then
// that one is fenced before this one commits.
class HostedStage : public std::enable_shared_from_this<HostedStage> {
 public:
  // A coordinator has at most num_stages + 1 steps in flight: more than this is nonsense.
  static constexpr size_t kMostWaitingFrames = 256;
  static constexpr int64_t kMostWaitingBytes = int64_t{64} << 20;

  // `who`: the worker, in errors. `shared`: the runner serves another epoch until this one's
  // commit. Executor and host must outlive the stage.
  HostedStage(const wire::Prepare& plan, std::shared_ptr<StageRunner> runner, bool shared,
              std::string who, Executor& executor, StageHost& host);

  const wire::Prepare& plan() const { return plan_; }
  const std::shared_ptr<StageRunner>& runner() const { return runner_; }

  // Tells Committed when it is done; called again, tells the same again.
  void Commit(std::vector<wire::Commit::Sequence> sequences);
  // A frame of this epoch. A repeated number is ignored; a gap, or more than may wait, fails the
  // step (StepResult). Ahead of the commit it may only be a replay, which a runner that serves
  // another epoch does not compute.
  void Take(wire::StageFrame frame);
  // Drops what waits and the output of what runs; `done` is called when nothing runs any more. For
  // good. A second call replaces `done`.
  void Fence(absl::AnyInvocable<void()> done);
  // The next hop takes frames again, or is gone.
  void OnWritable();

  wire::Heartbeat::Stage Report() const;

 private:
  struct Waiting {
    wire::StageFrame frame;
    absl::Duration arrival;
    int64_t bytes = 0;
  };

  bool last() const { return plan_.stage + 1 == plan_.num_stages; }
  void StartMore();
  void Start(Waiting waiting);
  void Finish(wire::StageFrame onward, absl::Duration arrival, absl::StatusOr<StageOutput> output);
  void Fail(int64_t number, const absl::Status& why);

  const wire::Prepare plan_;
  const std::shared_ptr<StageRunner> runner_;
  const bool shared_;
  const std::string who_;
  Executor& executor_;
  StageHost& host_;

  std::deque<Waiting> waiting_;
  int64_t waiting_bytes_ = 0;
  int running_ = 0;  // at the runner
  int64_t next_number_ = 1;
  int64_t last_finished_ = 0;
  double busy_seconds_ = 0;
  bool blocked_ = false;  // the next hop is full
  bool fenced_ = false;
  absl::AnyInvocable<void()> on_fenced_;
  bool committing_ = false;
  std::optional<wire::Committed> committed_;
};

}  // namespace potluck::worker
