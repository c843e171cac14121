// A stage on a device, on a thread of its own.
#pragma once

#include <memory>
#include <vector>

#include "common/executor.h"
#include "kernels/backend.h"
#include "model/decoder/decoder_stage.h"
#include "worker/stage/frame_runner.h"
#include "worker/stage/stage_runner.h"

namespace potluck::worker {

// Lives on `executor`.
class DeviceStage final : public StageRunner {
 public:
  // What a stage consists of, in the order in which each part needs those before it.
  struct Parts {
    std::shared_ptr<const void> keeps_cached;  // the stage's weights, for the next start
    std::shared_ptr<const void> memory_claim;  // as long as the device holds it
    std::unique_ptr<kernels::Backend> backend;
    std::unique_ptr<model::DecoderStage> stage;
    bool is_last = false;
    int64_t replay_bytes = 0;  // as in wire::Prepare
  };

  // `thread` runs nothing else. `executor` must outlive the stage.
  DeviceStage(Parts parts, std::unique_ptr<Executor> thread, Executor& executor);
  ~DeviceStage() override;

  void Run(wire::StageFrame frame, const StagePart& part,
           absl::AnyInvocable<void(absl::StatusOr<StageOutput>)> done) override;
  void ReportHeld(absl::AnyInvocable<void(std::vector<wire::SequenceLength>)> done) override;
  void Commit(
      std::vector<wire::Commit::Sequence> sequences,
      absl::AnyInvocable<void(absl::StatusOr<std::vector<wire::SequenceLength>>)> done) override;

 private:
  // Answers on the executor, unless the stage is gone by then.
  template <typename T>
  void Answer(absl::AnyInvocable<void(T)> done, T answer);

  const Parts parts_;
  FrameRunner frames_;  // on thread_
  Executor& executor_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<Executor> thread_;  // ends first
};

}  // namespace potluck::worker
