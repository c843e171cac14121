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

// Lives on `executor`. Destroying it waits for nothing: a step that runs then ends on its thread.
class DeviceStage final : public StageRunner {
 public:
  // What a stage consists of, in the order in which each part needs those before it.
  struct Parts {
    std::shared_ptr<const void> keeps_cached;  // the stage's weights, for the next start
    std::shared_ptr<const void> memory_claim;  // as long as the device holds it
    std::unique_ptr<kernels::Backend> backend;
    std::unique_ptr<model::DecoderStage> stage;
    bool is_last = false;
    model::AnswerGrammars::OpenVocabulary vocabulary;  // for FrameRunner
    int64_t replay_bytes = 0;                          // as in wire::Prepare
  };

  // `thread` runs nothing else; it and the parts are destroyed on `disposal`. Both executors must
  // outlive that.
  DeviceStage(Parts parts, std::unique_ptr<Executor> thread, Executor& executor,
              Executor& disposal);
  ~DeviceStage() override;

  void Run(wire::StageFrame frame, const StagePart& part,
           absl::AnyInvocable<void(absl::StatusOr<StageOutput>)> done) override;
  void ReportHeld(absl::AnyInvocable<void(std::vector<wire::SequenceLength>)> done) override;
  void Commit(
      std::vector<wire::Commit::Sequence> sequences,
      absl::AnyInvocable<void(absl::StatusOr<std::vector<wire::SequenceLength>>)> done) override;

 private:
  // May outlive the stage: what runs on the thread refers to nothing else.
  struct Device {
    Device(Parts of, std::unique_ptr<Executor> on)
        : parts(std::move(of)),
          frames(*parts.stage, parts.is_last, parts.replay_bytes, parts.vocabulary),
          thread(std::move(on)) {}

    const Parts parts;
    FrameRunner frames;                // on `thread`
    std::unique_ptr<Executor> thread;  // ends first
  };

  // Runs `work` on the thread, and answers on the executor, unless the stage is gone by then.
  template <typename Work, typename Done>
  void OnThread(Work work, Done done);

  std::unique_ptr<Device> device_;
  Executor& executor_;
  Executor& disposal_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::worker
