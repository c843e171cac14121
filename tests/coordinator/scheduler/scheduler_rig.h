// A scheduler and its pipeline, moved by hand: every frame, answer and error can be looked at.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <vector>

#include "tests/coordinator/scheduler/fake_pipeline.h"

namespace potluck::coordinator {

// What has become of a request.
struct Outcome {
  std::vector<int32_t> progress;  // of the prompt, in the order in which it was told
  std::vector<model::TokenId> tokens;
  std::vector<float> rows;
  bool finished = false;
  model::FinishReason reason = model::FinishReason::kCancelled;
  int32_t cached_tokens = 0;
  absl::Status failed;
};

class SchedulerRig {
 public:
  static constexpr int64_t kContext = 4096;

  static ScheduledModel Model() {
    return {
        .instance = 1, .context_length = kContext, .vocab_size = kFakeVocab, .model_dim = kFakeDim};
  }
  // Stages at 10 ms a decode step and 1 ms a prompt token: 50 tokens may go while others decode.
  static PipelineShape Shape(int num_stages);

  // In its first epoch, the probe under way.
  SchedulerRig(const ScheduledModel& model, const PipelineShape& shape);

  // `length` tokens that depend on `seed`, after `prefix`.
  static std::vector<model::TokenId> Prompt(int64_t length, int seed,
                                            std::vector<model::TokenId> prefix = {});
  // Samples with a seed of its own.
  model::SequenceId Submit(std::vector<model::TokenId> prompt, int64_t max_tokens);
  model::SequenceId SubmitForRows(std::vector<model::TokenId> prompt, int32_t rows_from);
  std::vector<model::TokenId> Wanted(model::SequenceId id) const {
    return ReferenceAnswer(requests_.at(id), model_.context_length);
  }
  uint64_t SeedOf(model::SequenceId id) const { return requests_.at(id).sampling.seed; }

  // The next frame goes to the pipeline.
  std::optional<wire::StageFrame> Compose();
  int ComposeAll();
  // Until the next answer comes back, which the scheduler gets. False: none is to come.
  bool Return();
  // Both, until nothing moves. An error begins a new epoch of the same stages.
  void RunAll();
  void RunSteps(int answers);

  void ChangePlan(EpochEnd why, PipelineShape shape, size_t survivors);
  void ChangePlan(EpochEnd why) { ChangePlan(why, shape_, shape_.stages.size()); }
  // A worker dies, another takes its stage; all others stay as they are.
  void Replace(size_t stage);

  InstanceScheduler& scheduler() { return scheduler_; }
  FakePipeline& pipeline() { return pipeline_; }
  const PipelineShape& shape() const { return shape_; }
  const Outcome& outcome(model::SequenceId id) { return outcomes_[id]; }
  const absl::Status& last_status() const { return last_status_; }
  absl::Duration now() const { return now_; }

  // That it has its tokens, and the pipeline saw nothing wrong.
  void ExpectDone(model::SequenceId id);
  // Likewise its rows.
  void ExpectRows(model::SequenceId id);
  void ExpectNothingHeldButKept();

 private:
  model::SequenceId Submit(SequenceRequest request);
  void TakeEvents();

  ScheduledModel model_;
  PipelineShape shape_;
  InstanceScheduler scheduler_;
  FakePipeline pipeline_;
  std::mt19937_64 random_{1};
  std::map<model::SequenceId, SequenceRequest> requests_;
  std::map<model::SequenceId, Outcome> outcomes_;
  uint64_t last_seed_ = 0;
  absl::Status last_status_;
  absl::Duration now_;
};

}  // namespace potluck::coordinator
