// Stages that compute nothing: they remember each sequence's text, take as long as a test says, and
// pass on rows that depend on all of the text before. A stage refuses rows of another text than its
// own, and the last one answers words that depend on the whole text: a stage that has lost, doubled
// or mixed up a token cannot hide it. Rows that are kept for replays are made again from the text.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/executor.h"
#include "worker/stage/stage_runner.h"

namespace potluck::worker {

using Text = std::vector<model::TokenId>;

// FNV-1a, with a shift, so that high bits depend on all.
inline uint64_t DigestOf(std::span<const model::TokenId> text) {
  uint64_t digest = 0xcbf29ce484222325;
  for (const model::TokenId token : text) {
    digest = (digest ^ static_cast<uint64_t>(token)) * 0x100000001b3;
    digest ^= digest >> 29;
  }
  return digest;
}
inline model::TokenId WordAfter(std::span<const model::TokenId> text) {
  return static_cast<model::TokenId>(DigestOf(text) % 30011);
}

// What a test looks at, also after the runner has gone.
struct PretendLog {
  // Positions whose KV is there; -1: there is no such sequence.
  int32_t Length(model::SequenceId sequence) const {
    const auto found = texts.find(sequence);
    return found == texts.end() ? -1 : static_cast<int32_t>(found->second.size());
  }
  int alive = 0;
  int64_t num_run = 0, num_tokens = 0;
  std::map<model::SequenceId, Text> texts;
};

struct PretendPace {
  absl::Duration load = absl::Milliseconds(100), step = absl::Milliseconds(10);
  size_t padding = 0;  // numbers after the rows that a stage passes on, which nobody reads
};

// Answers each frame after `pace.step`, one after another. A row is one number here.
class PretendRunner final : public StageRunner {
 public:
  PretendRunner(const wire::Prepare& plan, Executor& executor, const PretendPace& pace,
                std::shared_ptr<PretendLog> log)
      : plan_(plan), executor_(executor), pace_(pace), log_(std::move(log)) {
    ++log_->alive;
  }
  ~PretendRunner() override { --log_->alive; }

  void Run(wire::StageFrame frame, const StagePart& part,
           absl::AnyInvocable<void(absl::StatusOr<StageOutput>)> done) override {
    Later([this, frame = std::move(frame), part, done = std::move(done)]() mutable {
      done(RunNow(frame, part));
    });
  }

  void ReportHeld(absl::AnyInvocable<void(std::vector<wire::SequenceLength>)> done) override {
    Later([this, done = std::move(done)]() mutable {
      std::vector<wire::SequenceLength> held;
      for (const auto& [sequence, text] : log_->texts) {
        const auto size = static_cast<int32_t>(text.size());
        held.push_back({sequence, size, std::min(size, MostKept())});
      }
      done(std::move(held));
    });
  }

  void Commit(
      std::vector<wire::Commit::Sequence> sequences,
      absl::AnyInvocable<void(absl::StatusOr<std::vector<wire::SequenceLength>>)> done) override {
    Later([this, sequences = std::move(sequences), done = std::move(done)]() mutable {
      std::map<model::SequenceId, Text> kept;
      std::vector<wire::SequenceLength> held;
      for (const auto& [start, length] : sequences) {
        if (length < 0) {
          done(absl::InvalidArgumentError("a length below 0"));
          return;
        }
        Text& text = kept[start.sequence];
        text = std::move(log_->texts[start.sequence]);
        text.resize(std::min(text.size(), static_cast<size_t>(length)));
        const auto size = static_cast<int32_t>(text.size());
        held.push_back({start.sequence, size, std::min(size, MostKept())});
      }
      log_->texts = std::move(kept);
      done(std::move(held));
    });
  }

 private:
  void Later(Executor::Task task) {
    const absl::Duration now = executor_.clock().SinceStart();
    free_at_ = std::max(free_at_, now) + pace_.step;
    executor_.PostAfter(free_at_ - now,
                        [alive = std::weak_ptr(alive_), run = std::move(task)]() mutable {
                          if (!alive.expired()) run();
                        });
  }

  // As many as a plan's bytes allow: a row is one number.
  int32_t MostKept() const {
    if (plan_.stage + 1 == plan_.num_stages) return 0;
    return static_cast<int32_t>(plan_.replay_bytes / static_cast<int64_t>(sizeof(float)));
  }
  static float RowOf(std::span<const model::TokenId> text) {
    return static_cast<float>(DigestOf(text) >> 40);  // exact
  }

  absl::StatusOr<StageOutput> RunNow(const wire::StageFrame& frame, const StagePart& part) {
    for (const wire::StageCommand& command : frame.commands) {
      if (part.computes || !part.ahead) Apply(command);
    }
    auto texts = log_->texts;  // an error changes nothing
    StageOutput output;
    for (size_t i = 0; i < frame.step.tokens.size(); ++i) {
      const model::StepToken& token = frame.step.tokens[i];
      const auto text = texts.find(token.sequence);
      if (text == texts.end()) return absl::NotFoundError("no such sequence");
      const auto place = static_cast<size_t>(token.position);
      if (!part.computes) {
        if (place >= text->second.size() || text->second[place] != token.id)
          return absl::FailedPreconditionError("a replay of what is not held");
        if (part.passes_on && token.position >= MostKept())
          return absl::FailedPreconditionError("a replay of rows that are not kept");
        if (part.passes_on)
          output.hidden.push_back(RowOf(std::span(text->second).first(place + 1)));
        continue;
      }
      const bool first = i == 0 || frame.step.tokens[i - 1].sequence != token.sequence;
      if (part.replays && first && place < text->second.size()) text->second.resize(place);
      if (text->second.size() != place) return absl::NotFoundError("no such place");
      text->second.push_back(token.id);
      const float row = RowOf(text->second);
      if (plan_.stage > 0 && (i >= frame.hidden.size() || frame.hidden[i] != row))
        return absl::DataLossError("rows of another text");
      if (plan_.stage + 1 < plan_.num_stages) {
        if (part.passes_on) output.hidden.push_back(row);
      } else if (token.wanted == model::Wanted::kSample) {
        output.tokens.push_back({.sequence = token.sequence,
                                 .position = token.position + 1,
                                 .id = WordAfter(text->second),
                                 .logprobs = {}});
      }
    }
    log_->texts = std::move(texts);
    ++log_->num_run;
    log_->num_tokens += std::ssize(frame.step.tokens);
    if (part.passes_on) output.hidden.resize(output.hidden.size() + pace_.padding);
    output.computing_seconds = absl::ToDoubleSeconds(pace_.step);
    return output;
  }

  void Apply(const wire::StageCommand& command) {
    if (const auto* begin = std::get_if<wire::BeginCommand>(&command)) {
      Text text;
      if (const auto from = log_->texts.find(begin->fork_from); from != log_->texts.end()) {
        text = from->second;
        text.resize(std::min(text.size(), static_cast<size_t>(std::max(0, begin->fork_length))));
      }
      log_->texts[begin->start.sequence] = std::move(text);
    } else if (const auto* trim = std::get_if<model::TrimCommand>(&command)) {
      const auto text = log_->texts.find(trim->sequence);
      if (text != log_->texts.end() && trim->length >= 0)
        text->second.resize(std::min(text->second.size(), static_cast<size_t>(trim->length)));
    } else if (const auto* free = std::get_if<model::FreeCommand>(&command)) {
      log_->texts.erase(free->sequence);
    }
  }

  const wire::Prepare plan_;
  Executor& executor_;
  const PretendPace pace_;
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
    executor_.PostAfter(pace.load / 2, [alive = std::weak_ptr(loading->alive),
                                        tell = std::move(on_progress)]() mutable {
      if (!alive.expired()) tell(0.5);
    });
    executor_.PostAfter(pace.load, [this, plan, alive = std::weak_ptr(loading->alive),
                                    tell = std::move(done)]() mutable {
      if (alive.expired()) return;
      if (!error.ok()) {
        tell(error);
        return;
      }
      auto log = std::make_shared<PretendLog>();
      logs.push_back(log);
      tell(std::make_unique<PretendRunner>(plan, executor_, pace, std::move(log)));
    });
    return loading;
  }

  PretendPace pace;  // of what is loaded from now on
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
