// What every step of one instance consists of: the coordinator's heart, without links, threads or
// clock.
//
// It keeps each request's tokens (the truth: token n is taken only when n tokens are held), knows
// what of them the stages hold, and composes frames: commands first, then decode tokens, then
// prefill chunks. The rules:
//   - At most num_stages + 1 steps are in flight, decode tokens in at most num_stages of them, each
//     with its share of the decoding sequences, so that all stages work at once.
//   - While others decode, chunks keep to stage_pace.h's time, and at most num_stages wait. Of each
//     the oldest prompt gets at least half, who has the least left to do gets the rest: nobody's
//     first token waits for another's long prompt.
//   - Requests are admitted in the order in which they came, once there are blocks for all that is
//     known of them and some of their answer. Blocks of prompts that begin alike are shared, by
//     forking a living sequence or one that has ended and is kept (full blocks only, so nothing is
//     ever copied); kept ones are freed oldest first.
//   - A sequence that cannot grow takes the blocks of the youngest, or waits itself if it is the
//     youngest; who waits is computed again later from its tokens. So the oldest always goes on.
//   - One that wants rows instead of an answer asks for them with its chunks, for 2 MiB at a time
//     (they go over a link), takes each once, and leaves nothing behind for others: what is
//     embedded is seldom a beginning. Half of the queue is not for them.
//   - A sequence whose reader is paused stands still, and gives way when others need its blocks.
//   - A sequence in a step that failed travels alone until it has a token; at its second failure it
//     ends in the error. One that was in flight at two workers' deaths ends, too.
//
// An epoch: EndEpoch when the old one is fenced (or gone), BeginEpoch for the Commit's list, OnHeld
// with the stages' answers. The first frame carries a probe, one token through every stage; when it
// has come back the instance is ready, and what some stage lacks is sent again with the tokens' own
// kinds (replay.cc): only the stages that lack it compute, where those before them have kept the
// rows that they passed on.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/scheduler/ahead_replay.h"
#include "coordinator/scheduler/sequence.h"
#include "coordinator/scheduler/stage_pace.h"
#include "coordinator/scheduler/token_rate.h"
#include "wire/messages.h"

namespace potluck::coordinator {

// What does not change while the instance lives.
struct ScheduledModel {
  model::InstanceId instance = 0;
  int64_t context_length = 0;
  int64_t vocab_size = 0;
  int64_t model_dim = 0;
  int64_t window = 0;  // of layers that see only so many positions; 0: none
  // Some stage's numbers depend on the tokens' kinds: prompt and generated tokens share no blocks.
  bool kinds_matter = false;
  int64_t max_waiting = 256;  // requests, beside those on the stages
};

// What a plan gives, the same on all stages.
struct PipelineShape {
  model::Epoch epoch;
  int64_t context_length = 0;  // of a sequence, at most the model's
  int64_t kv_capacity = 0;     // positions
  int64_t max_sequences = 0;   // at least 2: one is the probe's
  int64_t max_tokens = 0;      // of a step, at least 2
  int64_t max_outputs = 0;     // of a step
  std::vector<StageSpeed> stages;
};

struct SchedulerEvent {
  enum class Kind : uint8_t { kProgress, kToken, kRows, kFinished, kFailed };
  Kind kind = Kind::kToken;
  model::SequenceId sequence = 0;
  int32_t computed_tokens = 0;  // kProgress: of the prompt, with those that were cached
  // kToken
  model::TokenId token = 0;
  std::vector<model::TokenLogprob> logprobs;
  std::vector<float> rows;  // kRows: (N, D), of the positions after those told before
  // kFinished
  model::FinishReason reason = model::FinishReason::kStop;
  // All but kToken and kRows
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;
  // kFinished and kFailed
  int32_t generated_tokens = 0;
  std::optional<absl::Duration> admitted_at;  // to the stages; none: it never was
  StageTimes stage_times;
  absl::Status status;  // kFailed
};

struct SchedulerCounters {
  int64_t steps = 0;
  int64_t generated_tokens = 0;
  int64_t rows = 0;           // that came, of requests for them
  int64_t shared_tokens = 0;  // of prompts, that were not computed because another had them
  int64_t preemptions = 0;
  int64_t requests_resumed = 0;  // went on after a worker's death
  int64_t stale_results = 0;
  int64_t retries = 0;  // of requests whose step failed, and which go on all the same
};

enum class EpochEnd : uint8_t {
  kPlanned,     // or a step's error, or a link's
  kWorkerDied,  // a stage of this pipeline is gone: what it was computing may have been why
};

// Thread-compatible. Calls never call back; what happened waits in TakeEvents.
class InstanceScheduler {
 public:
  explicit InstanceScheduler(const ScheduledModel& model) : model_(model) {}

  // InvalidArgument for an empty prompt, one that leaves no room in the context or that the
  // cluster's KV caches could not hold even alone, tokens outside the vocabulary, or sampling
  // parameters out of range; ResourceExhausted where too many wait already.
  absl::StatusOr<model::SequenceId> Submit(SequenceRequest request);
  // Frees it on all stages, with the next frame. No event follows, nor those not yet taken.
  void Cancel(model::SequenceId sequence);
  // Ends it as an end token would, so that its KV is kept for whoever goes on with it: kFinished
  // follows; what is on its way of it is dropped. Nothing for one that has ended.
  void Stop(model::SequenceId sequence);
  // A paused sequence generates nothing.
  void SetReaderPaused(model::SequenceId sequence, bool paused);
  // Ends all requests with this error.
  void FailAll(const absl::Status& why);

  // Nothing is composed until OnHeld; results of earlier steps are dropped from now on. Requests in
  // flight at a second death fail; a death that is known only after a planned end counts for what
  // was in flight then.
  void EndEpoch(EpochEnd why);
  // Every sequence that the stages are to keep. Only between EndEpoch and OnHeld, or at first.
  std::vector<wire::Commit::Sequence> BeginEpoch(PipelineShape shape);
  // By stage, what Committed said. Frames are numbered from `next_number`.
  void OnHeld(std::span<const std::vector<wire::SequenceLength>> by_stage, int64_t next_number = 1);

  // What stages that are new can be filled with while this epoch goes on. `served`: by stage of the
  // new pipeline, what one that serves now has said it holds; none: it is new. Null where there is
  // nothing to gain.
  std::optional<AheadReplay> PlanAhead(
      const PipelineShape& shape,
      std::span<const std::optional<std::vector<wire::SequenceLength>>> served) const;
  // Gives it what has been said since it was planned.
  void PlanFurther(std::span<const std::optional<std::vector<wire::SequenceLength>>> served,
                   AheadReplay& ahead) const;
  // Tokens that it has not sent.
  int64_t TokensBeyond(const AheadReplay& ahead) const;
  // As large as a chunk of it may be now.
  int64_t AheadChunk() const;

  // The next frame, if there is one to be sent now. To be asked again, until there is none, after
  // each call that changes anything.
  std::optional<wire::StageFrame> ComposeNext(absl::Duration now);
  // An error means that the stages no longer agree about what they hold: a new epoch is needed,
  // and nothing is composed until then. Results of other epochs and repeated ones are dropped.
  absl::Status OnResult(wire::StepResult result, absl::Duration now);

  std::vector<SchedulerEvent> TakeEvents() { return std::exchange(events_, {}); }

  // The probe has come back in this epoch.
  bool ready() const { return running_ && probe_ == Probe::kPassed; }
  // When the oldest step in flight ought to be back at the latest.
  std::optional<absl::Duration> ProgressDeadline() const;

  bool IsInFlight(int64_t number) const;
  // When the step was composed that is to come back next; none: none is.
  std::optional<absl::Duration> OldestComposedAt() const;
  // Positions of a prompt that would not be computed again here now.
  int32_t HeldPrefix(std::vector<model::TokenId> prompt) const;

  const StagePace& pace() const { return pace_; }
  // By stage, how long it has computed in this epoch, as it says.
  const std::vector<double>& computing_seconds() const { return computing_seconds_; }
  const SchedulerCounters& counters() const { return counters_; }
  // Of all sequences together, over the last seconds.
  double tokens_per_second(absl::Duration now) const { return rate_.PerSecond(now); }
  int64_t num_waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t num_active() const { return static_cast<int64_t>(active_.size()); }
  int64_t num_kept() const { return static_cast<int64_t>(kept_.size()); }
  int64_t num_in_flight() const { return static_cast<int64_t>(in_flight_.size()); }
  int32_t num_free_blocks() const { return ledger_.num_free(); }
  int32_t num_blocks() const { return ledger_.num_blocks(); }
  // Of active sequences; those of kept ones are there for whoever needs them.
  int32_t num_used_blocks() const;

 private:
  enum class Probe : uint8_t { kDue, kSent, kPassed };
  struct Sample {
    model::SequenceId stage_id;
    model::SequenceId sequence;
    int32_t position;  // of the new token
  };
  struct Progress {
    model::SequenceId sequence;
    int32_t position;  // up to which its prompt is computed then
  };
  struct Rows {
    model::SequenceId sequence;
    int32_t position;  // of the first
    int32_t count;
  };
  struct StepInFlight {
    int64_t number = 0;
    absl::Duration composed_at;
    double expected_seconds = 0;
    int32_t decode_tokens = 0;
    int32_t prefill_tokens = 0;
    bool partial = false;                      // a replay that some stages do not compute
    std::vector<Sample> samples;               // in the step's order
    std::vector<Rows> rows;                    // likewise
    std::vector<model::SequenceId> sequences;  // requests that it carries
    std::vector<Progress> progress;            // of those that want to know
  };
  // What a scan of the active sequences finds.
  struct Load {
    int64_t decoding = 0;        // sequences, also those whose token is under way
    int64_t prefill_tokens = 0;  // still to be sent
    int64_t chunk = 0;           // of them, that the next step may carry
  };
  struct Chunk {
    Sequence* sequence;
    int32_t count;  // tokens
  };
  struct Prefix {
    Sequence* source = nullptr;
    int32_t length = 0;
    bool worth_waiting = false;  // a longer one is being computed now
  };

  // instance_scheduler.cc: requests and results
  absl::Status CheckRoomForStarts(const model::SamplingParams& sampling) const;
  Sequence* Find(model::SequenceId id);
  absl::Status CheckResult(const wire::StepResult& result, const StepInFlight& step) const;
  void AcceptToken(Sequence& sequence, wire::TokenResult token);
  void AcceptRows(const StepInFlight& step, std::span<const float> rows);
  void TellProgress(const Sequence& sequence, int32_t computed_tokens);
  void Finish(Sequence& sequence, model::FinishReason reason);
  void Fail(Sequence& sequence, absl::Status why);
  void End(Sequence& sequence, SchedulerEvent event);
  void StrikeStep(const wire::StepResult& result);
  void StrikeInFlight();
  bool NeverFits(const Sequence& sequence) const;

  // residence.cc: who is on the stages
  void Admit(absl::Duration now);
  bool TryAdmit(Sequence& sequence, Prefix prefix, absl::Duration now);
  bool MakeSlot(Prefix& prefix);
  bool MakeRoom(const Sequence& sequence, Prefix& prefix);
  void Begin(Sequence& sequence, const Prefix& prefix);
  Prefix BestPrefix(const Sequence& sequence) const;
  int32_t CommonBlocks(const Sequence& sequence, const Sequence& other, int32_t length) const;
  bool CanCutTo(const Sequence& sequence, int32_t length) const;
  bool GrowOrPreempt(Sequence& sequence);
  Sequence* PausedVictim(const Sequence* but) const;
  void Preempt(Sequence& sequence);
  bool EvictOldestKept(const Sequence* but);
  void LeaveStages(Sequence& sequence);  // frees, and takes it out of its phase's list
  void Forget(Sequence& sequence);
  int64_t ContextLength() const;
  int64_t PositionLimit() const;
  void TrimKept(Sequence& sequence, int32_t least, int32_t most);
  void ReserveAgain();

  // replay.cc: what some stages have lost
  using OwnerOfBlock = std::map<BlockLedger::Block, const Sequence*>;
  OwnerOfBlock Owners() const;  // the oldest active sequence that has it
  void Resume(Sequence& sequence, std::span<const wire::SequenceLength> by_stage,
              const OwnerOfBlock& owners);
  std::vector<int32_t> ReplayStarts(const Sequence& sequence,
                                    std::span<const wire::SequenceLength> by_stage) const;
  bool HasCachesOf(const PipelineShape& shape) const;
  wire::SequenceStart StartOf(const Sequence& sequence) const;
  bool NotAllCompute(const Sequence& sequence) const;
  std::vector<int32_t> ComputingStages(const Sequence& sequence) const;
  bool ReplayIsDue(const Load& load) const;
  void AddReplays(const Load& load, wire::StageFrame& frame, StepInFlight& step);

  // step_composer.cc
  wire::StageFrame ProbeFrame(absl::Duration now);
  Load Scan();
  void AddDecodeTokens(const Load& load, wire::StageFrame& frame, StepInFlight& step);
  void AddPrefillChunks(const Load& load, wire::StageFrame& frame, StepInFlight& step);
  std::vector<Chunk> ShareOut(int64_t budget, bool alone);
  void AddTokens(Sequence& sequence, int32_t count, wire::StageFrame& frame, StepInFlight& step);
  void Dispatch(wire::StageFrame& frame, StepInFlight step, absl::Duration now);
  std::vector<AheadReplay::Item> ItemsAhead(
      std::span<const std::optional<std::vector<wire::SequenceLength>>> served,
      const AheadReplay* earlier) const;
  int64_t num_stages() const { return static_cast<int64_t>(shape_.stages.size()); }

  ScheduledModel model_;
  PipelineShape shape_;
  StagePace pace_;
  std::vector<double> computing_seconds_;
  BlockLedger ledger_;
  bool running_ = false;
  bool struck_ = false;  // in this epoch
  bool after_death_ = false;
  Probe probe_ = Probe::kDue;
  model::SequenceId probe_id_ = 0;  // on the stages

  model::SequenceId next_id_ = 1;
  model::SequenceId next_stage_id_ = 1;
  std::map<model::SequenceId, std::unique_ptr<Sequence>> sequences_;  // ids rise: oldest first
  std::map<model::SequenceId, Sequence*> waiting_;
  std::vector<Sequence*> active_;  // oldest first
  std::deque<Sequence*> kept_;     // longest ended first
  bool try_admission_ = false;     // something has changed since it last failed

  std::vector<wire::StageCommand> commands_;  // for the next frame
  int64_t next_number_ = 1;
  std::deque<StepInFlight> in_flight_;
  std::set<model::SequenceId> in_flight_at_end_;  // requests, when the epoch ended
  absl::Duration last_result_at_;
  std::vector<Sequence*> ready_, prefilling_, replaying_;  // scratch of Scan
  bool replayed_last_ = false;                             // the last step that had tokens
  std::vector<SchedulerEvent> events_;
  SchedulerCounters counters_;
  TokenRate rate_;
};

}  // namespace potluck::coordinator
