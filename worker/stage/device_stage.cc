#include "worker/stage/device_stage.h"

#include <utility>

#include "absl/time/time.h"

namespace potluck::worker {

DeviceStage::DeviceStage(Parts parts, std::unique_ptr<Executor> thread, Executor& executor)
    : parts_(std::move(parts)),
      frames_(*parts_.stage, parts_.is_last, parts_.replay_bytes),
      executor_(executor),
      thread_(std::move(thread)) {}

DeviceStage::~DeviceStage() = default;

template <typename T>
void DeviceStage::Answer(absl::AnyInvocable<void(T)> done, T answer) {
  executor_.Post([alive = std::weak_ptr(alive_), done = std::move(done),
                  answer = std::move(answer)]() mutable {
    if (!alive.expired()) done(std::move(answer));
  });
}

void DeviceStage::Run(wire::StageFrame frame, const StagePart& part,
                      absl::AnyInvocable<void(absl::StatusOr<StageOutput>)> done) {
  thread_->Post([this, frame = std::move(frame), part, done = std::move(done)]() mutable {
    const absl::Duration begin = thread_->clock().SinceStart();
    absl::StatusOr<StageOutput> output = frames_.Run(frame, part);
    if (output.ok())
      output->computing_seconds = absl::ToDoubleSeconds(thread_->clock().SinceStart() - begin);
    Answer(std::move(done), std::move(output));
  });
}

void DeviceStage::ReportHeld(absl::AnyInvocable<void(std::vector<wire::SequenceLength>)> done) {
  thread_->Post(
      [this, done = std::move(done)]() mutable { Answer(std::move(done), frames_.Held()); });
}

void DeviceStage::Commit(
    std::vector<wire::Commit::Sequence> sequences,
    absl::AnyInvocable<void(absl::StatusOr<std::vector<wire::SequenceLength>>)> done) {
  thread_->Post([this, sequences = std::move(sequences), done = std::move(done)]() mutable {
    Answer(std::move(done), frames_.Commit(sequences));
  });
}

}  // namespace potluck::worker
