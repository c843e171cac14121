// A coordinator's part of the protocol for one instance with one sequence, played honestly: changes
// of plan in their five steps, then tokens, of which it keeps the log. Whatever goes wrong, it
// begins a new epoch; the text must not show it.
#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "tests/worker/pretend_stage.h"
#include "tests/worker/worker_world.h"

namespace potluck::worker {

// What one machine alone would answer.
inline Text Continue(Text text, int words) {
  for (int i = 0; i < words; ++i) text.push_back(WordAfter(text));
  return text;
}

class Conductor {
 public:
  static constexpr model::InstanceId kInstance = 1;
  static constexpr model::SequenceId kSequence = 40;
  static constexpr int32_t kCuts = 12;  // of the model, shared out evenly

  Conductor(WorkerWorld& world, Text prompt) : log(std::move(prompt)), world_(world) {}

  // 1: a new epoch, whose stages are asked for. Call AwaitPrepared after.
  void BeginEpoch(std::vector<wire::WorkerId> pipeline) {
    next_ = std::move(pipeline);
    ++epoch.number;
    for (int32_t stage = 0; stage < NumNext(); ++stage) Tell(next_[stage], PlanOf(stage));
  }
  bool AwaitPrepared() {
    return AskUntil(NumNext(), [this](int32_t stage) {
      const auto* answer = Find<wire::Prepared>(next_[stage], [&](const wire::Prepared& prepared) {
        return prepared.epoch == epoch && prepared.stage == stage;
      });
      if (answer == nullptr) Tell(next_[stage], PlanOf(stage));
      return Grade(answer);
    });
  }
  // 2: who is away needs no fence.
  bool Fence() {
    const std::set<wire::WorkerId> old(pipeline_.begin(), pipeline_.end());
    const std::vector<wire::WorkerId> all(old.begin(), old.end());
    return AskUntil(static_cast<int32_t>(all.size()), [&](int32_t i) {
      if (world_.coordinator.Find(all[i], wire::LinkKind::kControl) == nullptr) return kGood;
      const auto* answer = Find<wire::Fenced>(
          all[i], [&](const wire::Fenced& fenced) { return fenced.epoch == epoch; });
      if (answer == nullptr) Tell(all[i], wire::Fence{.instance = kInstance, .epoch = epoch});
      return answer == nullptr ? kNoAnswer : kGood;
    });
  }
  // 3: what all stages hold is where step 4 begins.
  bool Commit() {
    const auto committed_length = static_cast<int32_t>(log.size()) - 1;
    wire::Commit commit{.instance = kInstance, .epoch = epoch, .sequences = {}};
    commit.sequences.push_back({.start = {.sequence = kSequence}, .length = committed_length});
    computed_ = committed_length;
    step_ = 0;
    pipeline_ = next_;
    return AskUntil(NumNext(), [&](int32_t stage) {
      const auto* answer =
          Find<wire::Committed>(next_[stage], [&](const wire::Committed& committed) {
            return committed.epoch == epoch && committed.stage == stage;
          });
      if (answer == nullptr) Tell(next_[stage], commit);
      const Answer grade = Grade(answer);
      if (grade == kGood) computed_ = std::min(computed_, answer->held.at(0).length);
      return grade;
    });
  }
  bool ChangeTo(std::vector<wire::WorkerId> pipeline) {
    BeginEpoch(std::move(pipeline));
    return AwaitPrepared() && Fence() && Commit();
  }

  // 4 and 5: sends what is not computed yet, and takes its word.
  bool SendStep() {
    HeldLink* data = world_.coordinator.Find(pipeline_.at(0), wire::LinkKind::kData);
    if (data == nullptr) return false;
    wire::StageFrame frame;
    frame.step = {.instance = kInstance, .epoch = epoch, .number = ++step_, .tokens = {}};
    if (step_ == 1) frame.commands.push_back(model::TrimCommand{kSequence, computed_});
    for (auto position = computed_; position < static_cast<int32_t>(log.size()); ++position) {
      const bool last = position + 1 == static_cast<int32_t>(log.size());
      frame.step.tokens.push_back(
          {.sequence = kSequence,
           .id = log[position],
           .position = position,
           .parent = frame.step.tokens.empty() ? model::kCommittedEnd
                                               : static_cast<int32_t>(frame.step.tokens.size()) - 1,
           .wanted = last ? model::Wanted::kSample : model::Wanted::kNothing});
    }
    num_sent_tokens += std::ssize(frame.step.tokens);
    for (int i = copies(); i > 0; --i) data->link->Send(frame);
    return true;
  }
  bool TakeWord() {
    const wire::StepResult* result = nullptr;
    const auto found = [&] {
      for (const wire::WorkerId& worker : pipeline_) {
        if (result != nullptr) break;
        result = Find<wire::StepResult>(worker, [&](const wire::StepResult& candidate) {
          return candidate.epoch == epoch && candidate.number == step_;
        });
      }
      return result != nullptr;
    };
    if (!found() && !world_.time.RunUntil(found, kPatience)) return false;
    if (!result->status.ok()) return false;
    const wire::TokenResult& token = result->tokens.at(0);
    if (token.position != static_cast<int32_t>(log.size())) return false;
    computed_ = token.position;
    log.push_back(token.id);
    return true;
  }
  bool Generate(int words) {
    for (int i = 0; i < words; ++i) {
      if (!SendStep() || !TakeWord()) return false;
    }
    return true;
  }

  void Release(const wire::WorkerId& worker) {
    Tell(worker, wire::Release{.instance = kInstance, .epoch = epoch});
  }
  // The coordinator's process is a new one, which knows the plan.
  void Restart() { epoch = {epoch.term + 1, 0}; }

  // A message of this kind from this worker for which `is` holds, on whichever link; or null.
  template <typename T>
  const T* Find(const wire::WorkerId& worker, const std::function<bool(const T&)>& is) const {
    for (const auto& held : world_.coordinator.links) {
      if (held->link->peer().worker != worker) continue;
      for (const wire::Message& message : held->messages) {
        const auto* candidate = std::get_if<T>(&message);
        if (candidate != nullptr && is(*candidate)) return candidate;
      }
    }
    return nullptr;
  }

  Text log;  // the truth
  model::Epoch epoch{1, 0};
  int64_t num_sent_tokens = 0;
  // How often each message is sent; and what happens between a question and its answer.
  std::function<int()> copies = [] { return 1; };
  std::function<void()> disturb = [] {};

 private:
  enum Answer { kNoAnswer, kGood, kBad };
  static constexpr int kAttempts = 3;
  inline static const absl::Duration kPatience = absl::Seconds(3);

  int32_t NumNext() const { return static_cast<int32_t>(next_.size()); }

  template <typename T>
  static Answer Grade(const T* answer) {
    if (answer == nullptr) return kNoAnswer;
    return answer->status.ok() ? kGood : kBad;
  }

  wire::Prepare PlanOf(int32_t stage) const {
    wire::Prepare plan = WorkerWorld::PrepareFor(kInstance, epoch.number, next_, stage);
    plan.epoch = epoch;
    plan.range = {kCuts * stage / NumNext(), kCuts * (stage + 1) / NumNext()};
    return plan;
  }

  void Tell(const wire::WorkerId& worker, const wire::Message& message) {
    HeldLink* control = world_.coordinator.Find(worker, wire::LinkKind::kControl);
    for (int i = copies(); control != nullptr && i > 0; --i) control->link->Send(message);
  }

  // `ask(i)` asks again unless there is an answer.
  bool AskUntil(int32_t count, const std::function<Answer(int32_t)>& ask) {
    for (int attempt = 0; attempt <= kAttempts; ++attempt) {
      int good = 0;
      for (int32_t i = 0; i < count; ++i) {
        const Answer answer = ask(i);
        if (answer == kBad) return false;
        good += answer == kGood;
      }
      if (good == count) return true;
      disturb();
      world_.Run(kPatience / kAttempts);
    }
    return false;
  }

  WorkerWorld& world_;
  std::vector<wire::WorkerId> pipeline_, next_;
  int64_t step_ = 0;
  int32_t computed_ = 0;  // positions that all stages hold
};

}  // namespace potluck::worker
