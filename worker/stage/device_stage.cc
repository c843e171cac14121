#include "worker/stage/device_stage.h"

#include <utility>

#include "absl/time/time.h"
#include "worker/disposal.h"

namespace potluck::worker {

DeviceStage::DeviceStage(Parts parts, std::unique_ptr<Executor> thread, Executor& executor,
                         Executor& disposal)
    : device_(std::make_unique<Device>(std::move(parts), std::move(thread))),
      executor_(executor),
      disposal_(disposal) {}

DeviceStage::~DeviceStage() { DestroyOn(disposal_, std::move(device_)); }

template <typename Work, typename Done>
void DeviceStage::OnThread(Work work, Done done) {
  device_->thread->Post([device = device_.get(), &executor = executor_,
                         alive = std::weak_ptr(alive_), work = std::move(work),
                         done = std::move(done)]() mutable {
    executor.Post([alive, answer = work(*device), done = std::move(done)]() mutable {
      if (!alive.expired()) done(std::move(answer));
    });
  });
}

void DeviceStage::Run(wire::StageFrame frame, const StagePart& part,
                      absl::AnyInvocable<void(absl::StatusOr<StageOutput>)> done) {
  OnThread(
      [frame = std::move(frame), part](Device& device) {
        const Clock& clock = device.thread->clock();
        const absl::Duration begin = clock.SinceStart();
        absl::StatusOr<StageOutput> output = device.frames.Run(frame, part);
        if (output.ok())
          output->computing_seconds = absl::ToDoubleSeconds(clock.SinceStart() - begin);
        return output;
      },
      std::move(done));
}

void DeviceStage::ReportHeld(absl::AnyInvocable<void(std::vector<wire::SequenceLength>)> done) {
  OnThread([](Device& device) { return device.frames.Held(); }, std::move(done));
}

void DeviceStage::Commit(
    std::vector<wire::Commit::Sequence> sequences,
    absl::AnyInvocable<void(absl::StatusOr<std::vector<wire::SequenceLength>>)> done) {
  OnThread([sequences =
                std::move(sequences)](Device& device) { return device.frames.Commit(sequences); },
           std::move(done));
}

}  // namespace potluck::worker
