// A stage as its worker's protocol sees it: something that runs frames in their order, elsewhere
// than on the executor. device_stage.h runs them on a device; tests/sim has one that only pretends.
#pragma once

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wire/messages.h"

namespace potluck::worker {

// What a stage has to do with a frame. Ordinary ones: computes and passes on.
struct StagePart {
  bool replays = false;   // drops first what it holds from the step's places on
  bool computes = true;   // otherwise it holds the step's tokens already
  bool passes_on = true;  // the next stage computes
  // Ahead of the epoch's commit, when another one may still be served: only a stage that computes
  // heeds the commands, and what was not kept is left out.
  bool ahead = false;
};

struct StageOutput {
  std::vector<float> hidden;              // (T, D), where it passes on; from the last stage (P, D)
  std::vector<wire::TokenResult> tokens;  // from the last stage
  double computing_seconds = 0;
  bool left_out = false;  // the step: nobody after this stage is to see it
};

// Calls are queued and answered in their order; every answer is a task of the executor. Destroying
// the runner drops what has not been answered; it does not wait for what runs now.
class StageRunner {
 public:
  virtual ~StageRunner() = default;

  // Applies the frame's commands, then runs its step. An error has changed nothing that the step
  // would have changed; commands before the one that failed are applied.
  virtual void Run(wire::StageFrame frame, const StagePart& part,
                   absl::AnyInvocable<void(absl::StatusOr<StageOutput>)> done) = 0;

  // Every sequence, and what is held and has been kept of it.
  virtual void ReportHeld(absl::AnyInvocable<void(std::vector<wire::SequenceLength>)> done) = 0;

  // Begins an epoch: frees all other sequences, trims those named to at most their length, makes
  // those that are not there, empty. Answers what each of them holds and has kept now.
  virtual void Commit(
      std::vector<wire::Commit::Sequence> sequences,
      absl::AnyInvocable<void(absl::StatusOr<std::vector<wire::SequenceLength>>)> done) = 0;
};

// Gets a stage's weights and makes it ready to run, which may take minutes.
class StageLoader {
 public:
  // Destroying it cancels the loading: no callback comes after.
  class Loading {
   public:
    virtual ~Loading() = default;
  };

  virtual ~StageLoader() = default;
  virtual std::unique_ptr<Loading> Load(
      const wire::Prepare& stage, absl::AnyInvocable<void(double fraction)> on_progress,
      absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<StageRunner>>)> done) = 0;
};

}  // namespace potluck::worker
