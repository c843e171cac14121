#include "worker/stage/hosted_stage.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace potluck::worker {
namespace {

// The runner gets the next frame while it computes one: its thread does not wait for the executor.
constexpr int kFramesAtRunner = 2;

template <typename T>
int64_t BytesOf(const std::vector<T>& all) {
  return static_cast<int64_t>(all.size() * sizeof(T));
}

int64_t BytesOf(const wire::StageFrame& frame) {
  int64_t bytes = BytesOf(frame.hidden) + BytesOf(frame.step.tokens) + BytesOf(frame.commands) +
                  BytesOf(frame.replaying);
  for (const wire::StageCommand& command : frame.commands) {
    if (const auto* begin = std::get_if<wire::BeginCommand>(&command)) {
      bytes += BytesOf(begin->start.sampling.logit_bias);
    } else if (const auto* accept = std::get_if<model::AcceptCommand>(&command)) {
      bytes += BytesOf(accept->path);
    }
  }
  return bytes;
}

StagePart PartOf(const wire::StageFrame& frame, int32_t stage, int32_t num_stages) {
  const auto computes = [&](int32_t which) {
    return frame.replaying.empty() || std::ranges::count(frame.replaying, which) > 0;
  };
  return {.replays = !frame.replaying.empty(),
          .computes = computes(stage),
          .passes_on = stage + 1 < num_stages && computes(stage + 1)};
}

}  // namespace

HostedStage::HostedStage(const wire::Prepare& plan, std::shared_ptr<StageRunner> runner,
                         bool shared, std::string who, Executor& executor, StageHost& host)
    : plan_(plan),
      runner_(std::move(runner)),
      shared_(shared),
      who_(std::move(who)),
      executor_(executor),
      host_(host) {}

void HostedStage::Commit(std::vector<wire::Commit::Sequence> sequences) {
  if (committed_) host_.Tell(*committed_);
  if (committed_ || committing_) return;
  committing_ = true;
  runner_->Commit(std::move(sequences), [weak = weak_from_this()](auto held) {
    const auto self = weak.lock();
    if (self == nullptr) return;
    self->committed_ = wire::Committed{.instance = self->plan_.instance,
                                       .epoch = self->plan_.epoch,
                                       .stage = self->plan_.stage,
                                       .status = held.status(),
                                       .held = {}};
    if (held.ok()) self->committed_->held = *std::move(held);
    self->host_.Tell(*self->committed_);
  });
}

void HostedStage::Take(wire::StageFrame frame) {
  const int64_t number = frame.step.number;
  if (fenced_ || number < next_number_) return;
  if (number > next_number_) {
    Fail(number, absl::FailedPreconditionError(absl::StrCat("step ", number, " came where step ",
                                                            next_number_, " was expected")));
    return;
  }
  const int64_t bytes = BytesOf(frame);
  if (waiting_.size() >= kMostWaitingFrames || waiting_bytes_ + bytes > kMostWaitingBytes) {
    Fail(number, absl::ResourceExhaustedError(absl::StrCat(
                     waiting_.size(), " steps (", waiting_bytes_, " bytes) wait already")));
    return;
  }
  ++next_number_;
  waiting_bytes_ += bytes;
  waiting_.push_back({std::move(frame), executor_.clock().SinceStart(), bytes});
  StartMore();
}

void HostedStage::StartMore() {
  while (!waiting_.empty() && running_ < kFramesAtRunner && !blocked_ && !fenced_) {
    Waiting waiting = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= waiting.bytes;
    Start(std::move(waiting));
  }
}

void HostedStage::Start(Waiting waiting) {
  ++running_;
  wire::StageFrame onward;
  onward.timings = std::move(waiting.frame.timings);
  if (last()) {
    onward.step.number = waiting.frame.step.number;
  } else {  // all but the hidden rows, which the output brings
    onward.step = waiting.frame.step;
    onward.commands = waiting.frame.commands;
    onward.replaying = waiting.frame.replaying;
  }
  StagePart part = PartOf(waiting.frame, plan_.stage, plan_.num_stages);
  part.ahead = !committing_;
  if (part.ahead && part.computes && shared_) {
    --running_;
    Fail(onward.step.number,
         absl::FailedPreconditionError("another epoch is served, and this one has not begun"));
    return;
  }
  runner_->Run(std::move(waiting.frame), part,
               [weak = weak_from_this(), onward = std::move(onward),
                arrival = waiting.arrival](absl::StatusOr<StageOutput> output) mutable {
                 const auto self = weak.lock();
                 if (self != nullptr) self->Finish(std::move(onward), arrival, std::move(output));
               });
}

void HostedStage::Finish(wire::StageFrame onward, absl::Duration arrival,
                         absl::StatusOr<StageOutput> output) {
  --running_;
  if (fenced_) {
    if (running_ == 0 && on_fenced_) std::exchange(on_fenced_, nullptr)();
    return;
  }
  const int64_t number = onward.step.number;
  last_finished_ = number;
  if (!output.ok()) {
    Fail(number, output.status());
    StartMore();
    return;
  }
  busy_seconds_ += output->computing_seconds;
  const double there = absl::ToDoubleSeconds(executor_.clock().SinceStart() - arrival);
  onward.timings.push_back({.waiting_seconds = std::max(0.0, there - output->computing_seconds),
                            .computing_seconds = output->computing_seconds});
  if (last()) {
    host_.SendResult({.instance = plan_.instance,
                      .epoch = plan_.epoch,
                      .number = number,
                      .status = {},
                      .tokens = std::move(output->tokens),
                      .hidden = std::move(output->hidden),
                      .timings = std::move(onward.timings)});
  } else {
    onward.hidden = std::move(output->hidden);
    if (output->left_out) {
      onward.step.tokens.clear();
      onward.commands.clear();
    }
    const Sent sent = host_.Forward(plan_.next, std::move(onward));
    blocked_ = sent == Sent::kFull;
    if (sent == Sent::kNoLink) {
      Fail(number, absl::UnavailableError(absl::StrCat(
                       "there is no link to the next stage's worker, ", plan_.next.peer.name)));
    }
  }
  StartMore();
}

void HostedStage::Fail(int64_t number, const absl::Status& why) {
  host_.SendResult({.instance = plan_.instance,
                    .epoch = plan_.epoch,
                    .number = number,
                    .status = Annotate(why, absl::StrCat("stage ", plan_.stage + 1, "/",
                                                         plan_.num_stages, " on ", who_)),
                    .tokens = {},
                    .hidden = {},
                    .timings = {}});
}

void HostedStage::Fence(absl::AnyInvocable<void()> done) {
  fenced_ = true;
  waiting_.clear();
  waiting_bytes_ = 0;
  if (running_ == 0) {
    done();
  } else {
    on_fenced_ = std::move(done);
  }
}

void HostedStage::OnWritable() {
  blocked_ = false;
  StartMore();
}

wire::Heartbeat::Stage HostedStage::Report() const {
  return {.instance = plan_.instance,
          .epoch = plan_.epoch,
          .last_step = last_finished_,
          .waiting = static_cast<int32_t>(waiting_.size()) + running_,
          .busy_seconds = busy_seconds_};
}

}  // namespace potluck::worker
