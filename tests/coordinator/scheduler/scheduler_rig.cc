#include "tests/coordinator/scheduler/scheduler_rig.h"

#include <gtest/gtest.h>

namespace potluck::coordinator {

PipelineShape SchedulerRig::Shape(int num_stages) {
  return {.epoch = {1, 1},
          .kv_capacity = 16384,
          .max_sequences = 33,
          .max_tokens = 512,
          .max_outputs = 64,
          .stages = std::vector<StageSpeed>(num_stages, {.decode_step_seconds = 0.010,
                                                         .prefill_seconds_per_token = 0.001,
                                                         .link_seconds_per_token = 0})};
}

SchedulerRig::SchedulerRig(const ScheduledModel& model, const PipelineShape& shape)
    : model_(model), shape_(shape), scheduler_(model), pipeline_(model.window) {
  shape_.epoch.number = 0;
  ChangePlan(EpochEnd::kPlanned, shape_, 0);
}

std::vector<model::TokenId> SchedulerRig::Prompt(int64_t length, int seed,
                                                 std::vector<model::TokenId> prefix) {
  std::mt19937_64 random(seed);
  for (; length > 0; --length) prefix.push_back(static_cast<model::TokenId>(random() % kFakeVocab));
  return prefix;
}

model::SequenceId SchedulerRig::Submit(std::vector<model::TokenId> prompt, int64_t max_tokens) {
  SequenceRequest request{.prompt = std::move(prompt), .max_tokens = max_tokens, .end_tokens = {}};
  request.tell_progress = true;
  return Submit(std::move(request));
}

model::SequenceId SchedulerRig::SubmitForRows(std::vector<model::TokenId> prompt,
                                              int32_t rows_from) {
  return Submit({.prompt = std::move(prompt), .end_tokens = {}, .rows_from = rows_from});
}

model::SequenceId SchedulerRig::Submit(SequenceRequest request) {
  request.sampling.seed = ++last_seed_;
  absl::StatusOr<model::SequenceId> id = scheduler_.Submit(request);
  if (!id.ok()) {
    last_status_ = id.status();
    return 0;
  }
  requests_[*id] = std::move(request);
  return *id;
}

std::optional<wire::StageFrame> SchedulerRig::Compose() {
  std::optional<wire::StageFrame> frame = scheduler_.ComposeNext(now_);
  if (frame) pipeline_.Send(*frame);
  TakeEvents();
  return frame;
}

int SchedulerRig::ComposeAll() {
  int frames = 0;
  while (Compose()) ++frames;
  return frames;
}

bool SchedulerRig::Return() {
  now_ += absl::Milliseconds(10);
  std::optional<wire::StepResult> result = pipeline_.TakeResult();
  while (!result && pipeline_.Advance(random_)) result = pipeline_.TakeResult();
  if (!result) return false;
  for (const wire::StageTiming& timing : result->timings)
    now_ += absl::Seconds(timing.computing_seconds);
  last_status_ = scheduler_.OnResult(*std::move(result), now_);
  TakeEvents();
  return true;
}

void SchedulerRig::RunAll() {
  while (ComposeAll() > 0 || scheduler_.num_in_flight() > 0) {
    if (!Return()) break;
    if (!last_status_.ok()) ChangePlan(EpochEnd::kPlanned);
  }
}

void SchedulerRig::RunSteps(int answers) {
  for (; answers > 0; --answers) {
    ComposeAll();
    Return();
  }
}

void SchedulerRig::ChangePlan(EpochEnd why, PipelineShape shape, size_t survivors) {
  shape.epoch = {1, shape_.epoch.number + 1};
  shape_ = std::move(shape);
  scheduler_.EndEpoch(why);
  const std::vector<wire::Commit::Sequence> kept = scheduler_.BeginEpoch(shape_);
  pipeline_.Reshape(shape_, survivors, random_);
  scheduler_.OnHeld(pipeline_.Commit(kept));
  TakeEvents();
}

void SchedulerRig::Replace(size_t stage) {
  shape_.epoch.number += 1;
  scheduler_.EndEpoch(EpochEnd::kWorkerDied);
  const std::vector<wire::Commit::Sequence> kept = scheduler_.BeginEpoch(shape_);
  pipeline_.Replace(shape_, stage);
  scheduler_.OnHeld(pipeline_.Commit(kept));
  TakeEvents();
}

void SchedulerRig::TakeEvents() {
  for (SchedulerEvent& event : scheduler_.TakeEvents()) {
    Outcome& outcome = outcomes_[event.sequence];
    EXPECT_FALSE(outcome.finished || !outcome.failed.ok()) << "an event after the end";
    switch (event.kind) {
      case SchedulerEvent::Kind::kProgress:
        outcome.progress.push_back(event.computed_tokens);
        break;
      case SchedulerEvent::Kind::kToken:
        outcome.tokens.push_back(event.token);
        break;
      case SchedulerEvent::Kind::kRows:
        outcome.rows.insert(outcome.rows.end(), event.rows.begin(), event.rows.end());
        break;
      case SchedulerEvent::Kind::kFinished:
        outcome.finished = true;
        outcome.reason = event.reason;
        outcome.cached_tokens = event.cached_tokens;
        break;
      case SchedulerEvent::Kind::kFailed:
        outcome.failed = event.status;
    }
  }
}

void SchedulerRig::ExpectDone(model::SequenceId id) {
  EXPECT_TRUE(outcome(id).finished) << "request " << id << " " << outcome(id).failed;
  EXPECT_EQ(outcome(id).tokens, Wanted(id)) << "request " << id;
  EXPECT_TRUE(pipeline_.errors().empty()) << pipeline_.errors().front();
}

void SchedulerRig::ExpectRows(model::SequenceId id) {
  EXPECT_TRUE(outcome(id).finished) << "request " << id << " " << outcome(id).failed;
  EXPECT_EQ(outcome(id).rows, ReferenceRows(requests_.at(id))) << "request " << id;
  EXPECT_EQ(outcome(id).tokens, std::vector<model::TokenId>());
  EXPECT_TRUE(pipeline_.errors().empty()) << pipeline_.errors().front();
}

void SchedulerRig::ExpectNothingHeldButKept() {
  EXPECT_EQ(scheduler_.num_active(), 0);
  EXPECT_EQ(scheduler_.num_waiting(), 0);
  EXPECT_EQ(scheduler_.num_in_flight(), 0);
  for (const FakeStage& stage : pipeline_.stages()) {
    EXPECT_EQ(static_cast<int64_t>(stage.num_sequences()), scheduler_.num_kept());
    EXPECT_LE(stage.num_blocks(), scheduler_.num_blocks() - scheduler_.num_free_blocks());
  }
  EXPECT_TRUE(pipeline_.errors().empty()) << pipeline_.errors().front();
}

}  // namespace potluck::coordinator
