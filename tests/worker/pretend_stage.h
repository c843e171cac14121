// Stages that compute nothing: they remember how many positions each sequence holds, take as long
// as a test says, and pass on rows from which a test can see who made them.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/executor.h"
#include "worker/stage/stage_runner.h"

namespace potluck::worker {

// What a test looks at, also after the runner has gone.
struct PretendLog {
  int alive = 0;
  int64_t num_run = 0;
  std::map<model::SequenceId, int32_t> lengths;
};

// Answers each frame after `step_time`, one after another. The rows it passes on are one longer
// than those it got; a last stage answers token 1000 + position for each wanted one.
class PretendRunner final : public StageRunner {
 public:
  PretendRunner(const wire::Prepare& plan, Executor& executor, absl::Duration step_time,
                std::shared_ptr<PretendLog> log)
      : plan_(plan), executor_(executor), step_time_(step_time), log_(std::move(log)) {
    ++log_->alive;
  }
  ~PretendRunner() override { --log_->alive; }

  void Run(wire::StageFrame frame,
           absl::AnyInvocable<void(absl::StatusOr<StageOutput>)> done) override {
    Later([this, frame = std::move(frame), done = std::move(done)]() mutable {
      done(RunNow(frame));
    });
  }

  void Commit(
      std::vector<wire::Commit::Sequence> sequences,
      absl::AnyInvocable<void(absl::StatusOr<std::vector<wire::SequenceLength>>)> done) override {
    Later([this, sequences = std::move(sequences), done = std::move(done)]() mutable {
      std::map<model::SequenceId, int32_t> kept;
      std::vector<wire::SequenceLength> held;
      for (const auto& [start, length] : sequences) {
        if (length < 0) {
          done(absl::InvalidArgumentError("a length below 0"));
          return;
        }
        const auto known = log_->lengths.find(start.sequence);
        const int32_t now = known == log_->lengths.end() ? 0 : std::min(known->second, length);
        kept[start.sequence] = now;
        held.push_back({start.sequence, now});
      }
      log_->lengths = std::move(kept);
      done(std::move(held));
    });
  }

 private:
  void Later(Executor::Task task) {
    const absl::Duration now = executor_.clock().SinceStart();
    free_at_ = std::max(free_at_, now) + step_time_;
    executor_.PostAfter(free_at_ - now,
                        [alive = std::weak_ptr(alive_), run = std::move(task)]() mutable {
                          if (!alive.expired()) run();
                        });
  }

  absl::StatusOr<StageOutput> RunNow(const wire::StageFrame& frame) {
    for (const wire::StageCommand& command : frame.commands) {
      if (const auto* begin = std::get_if<wire::BeginCommand>(&command)) {
        log_->lengths[begin->start.sequence] = begin->fork_length;
      } else if (const auto* trim = std::get_if<model::TrimCommand>(&command)) {
        log_->lengths[trim->sequence] = trim->length;
      } else if (const auto* free = std::get_if<model::FreeCommand>(&command)) {
        log_->lengths.erase(free->sequence);
      }
    }
    for (const model::StepToken& token : frame.step.tokens) {
      const auto known = log_->lengths.find(token.sequence);
      if (known == log_->lengths.end() || known->second != token.position)
        return absl::NotFoundError("no such place");
      ++known->second;
    }
    ++log_->num_run;
    StageOutput output;
    output.computing_seconds = absl::ToDoubleSeconds(step_time_);
    if (plan_.stage + 1 < plan_.num_stages) {
      output.hidden.assign(frame.hidden.size() + 1, static_cast<float>(plan_.stage));
      return output;
    }
    for (const model::StepToken& token : frame.step.tokens) {
      if (token.wanted != model::Wanted::kSample) continue;
      output.tokens.push_back({.sequence = token.sequence,
                               .position = token.position + 1,
                               .id = 1000 + token.position,
                               .logprobs = {}});
    }
    return output;
  }

  const wire::Prepare plan_;
  Executor& executor_;
  const absl::Duration step_time_;
  const std::shared_ptr<PretendLog> log_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  absl::Duration free_at_;
};

class PretendLoader final : public StageLoader {
 public:
  explicit PretendLoader(Executor& executor) : executor_(executor) {}

  std::unique_ptr<Loading> Load(
      const wire::Prepare& plan, absl::AnyInvocable<void(double fraction)> on_progress,
      absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<StageRunner>>)> done) override {
    ++num_loads;
    auto loading = std::make_unique<Pretending>();
    loadings_.push_back(loading->alive);
    executor_.PostAfter(load_time / 2, [alive = std::weak_ptr(loading->alive),
                                        tell = std::move(on_progress)]() mutable {
      if (!alive.expired()) tell(0.5);
    });
    executor_.PostAfter(load_time, [this, plan, alive = std::weak_ptr(loading->alive),
                                    tell = std::move(done)]() mutable {
      if (alive.expired()) return;
      if (!error.ok()) {
        tell(error);
        return;
      }
      auto log = std::make_shared<PretendLog>();
      logs.push_back(log);
      tell(std::make_unique<PretendRunner>(plan, executor_, step_time, std::move(log)));
    });
    return loading;
  }

  absl::Duration load_time = absl::Milliseconds(100), step_time = absl::Milliseconds(10);
  absl::Status error;
  int num_loads = 0;
  std::vector<std::shared_ptr<PretendLog>> logs;

  int NumAlive() const {
    return static_cast<int>(
        std::ranges::count_if(logs, [](const auto& log) { return log->alive > 0; }));
  }
  // That were neither cancelled nor ended and let go of.
  int NumLoading() const {
    return static_cast<int>(
        std::ranges::count_if(loadings_, [](const auto& loading) { return !loading.expired(); }));
  }

 private:
  struct Pretending final : Loading {
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  };
  Executor& executor_;
  std::vector<std::weak_ptr<bool>> loadings_;
};

}  // namespace potluck::worker
