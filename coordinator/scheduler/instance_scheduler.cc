#include "coordinator/scheduler/instance_scheduler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "model/generation/context_overflow.h"

namespace potluck::coordinator {
namespace {

constexpr int32_t kMostWorkerDeaths = 2;
constexpr int32_t kMostStepErrors = 2;
// A step may be this much slower than expected before its pipeline is asked what is wrong.
constexpr double kPatience = 8;
constexpr absl::Duration kLeastPatience = absl::Seconds(10);

// What one message has room for: half a MiB of long ones, beside many short ones.
constexpr size_t kLongStartBytes = 1024;
constexpr size_t kMostStartBytes = size_t{1} << 19;

size_t BytesOf(const model::SamplingParams& sampling) {
  constexpr size_t kBytesOfBias = 16;
  return sampling.grammar.size() + sampling.grammar_after.size() +
         sampling.logit_bias.size() * kBytesOfBias;
}

}  // namespace

Sequence* InstanceScheduler::Find(model::SequenceId id) {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

// Before the first plan all that the model could have.
int64_t InstanceScheduler::ContextLength() const {
  return shape_.context_length > 0 ? shape_.context_length : model_.context_length;
}

int64_t InstanceScheduler::PositionLimit() const {
  return std::min(ContextLength(), int64_t{ledger_.num_blocks()} * kBlockPositions);
}

// All that is known must be computed again at once after a change of plan.
bool InstanceScheduler::NeverFits(const Sequence& sequence) const {
  return BlocksFor(sequence.size()) > ledger_.num_blocks();
}

// A change of plan tells all of them in one message.
absl::Status InstanceScheduler::CheckRoomForStarts(const model::SamplingParams& sampling) const {
  size_t bytes = BytesOf(sampling);
  if (bytes < kLongStartBytes) return absl::OkStatus();
  for (const auto& [id, sequence] : sequences_) bytes += BytesOf(sequence->request.sampling);
  if (bytes <= kMostStartBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      "the grammars and biases of the requests here are too long together: try again later");
}

absl::StatusOr<model::SequenceId> InstanceScheduler::Submit(SequenceRequest request) {
  const auto prompt_length = static_cast<int64_t>(request.prompt.size());
  if (prompt_length == 0)
    return absl::InvalidArgumentError("the prompt is empty: write something to continue");
  const bool answers = !request.rows_from.has_value();
  const int64_t end = prompt_length + (answers ? 1 : 0);
  if (end > ContextLength()) {
    return model::ContextOverflowError(
        {.prompt_tokens = prompt_length, .context_length = ContextLength(), .with_answer = answers},
        "shorten the prompt, or load the model with a longer context (--ctx)");
  }
  if (shape_.kv_capacity > 0 && end > PositionLimit()) {
    return model::ContextOverflowError(
        {.prompt_tokens = prompt_length, .context_length = PositionLimit(), .with_answer = answers},
        "shorten the prompt, or add a device: the cluster's memory holds no more");
  }
  for (const model::TokenId token : request.prompt) {
    if (token < 0 || token >= model_.vocab_size)
      return absl::InvalidArgumentError(absl::StrCat("the prompt has a token ", token,
                                                     ", which the model's vocabulary does not"));
  }
  if (request.rows_from.has_value()) {
    if (*request.rows_from < 0 || *request.rows_from >= prompt_length)
      return absl::InvalidArgumentError(
          absl::StrCat("rows from ", *request.rows_from, " of ", prompt_length, " tokens"));
    request.max_tokens = 0;
  }
  POTLUCK_RETURN_IF_ERROR(model::CheckSampling(request.sampling, model_.vocab_size));
  if (num_waiting() >= model_.max_waiting / (request.rows_from.has_value() ? 2 : 1)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(num_waiting(), " requests wait already: try again later"));
  }
  POTLUCK_RETURN_IF_ERROR(CheckRoomForStarts(request.sampling));
  auto sequence = std::make_unique<Sequence>();
  sequence->id = next_id_++;
  sequence->tokens = std::exchange(request.prompt, {});
  sequence->prompt_length = static_cast<int32_t>(prompt_length);
  sequence->request = std::move(request);
  sequence->rows_taken = sequence->request.rows_from.value_or(0);
  Sequence& added = *sequence;
  sequences_.emplace(added.id, std::move(sequence));
  waiting_.emplace(added.id, &added);
  try_admission_ = true;
  const model::SequenceId id = added.id;
  if (added.request.max_tokens == 0 && !added.wants_rows())
    Finish(added, model::FinishReason::kLength);
  return id;
}

void InstanceScheduler::Cancel(model::SequenceId id) {
  std::erase_if(events_, [id](const SchedulerEvent& event) { return event.sequence == id; });
  Sequence* sequence = Find(id);
  if (sequence == nullptr || sequence->phase == Sequence::Phase::kKept) return;
  Forget(*sequence);
}

void InstanceScheduler::Stop(model::SequenceId id) {
  Sequence* sequence = Find(id);
  if (sequence == nullptr || sequence->phase == Sequence::Phase::kKept) return;
  Finish(*sequence, model::FinishReason::kStop);
}

void InstanceScheduler::SetReaderPaused(model::SequenceId id, bool paused) {
  Sequence* sequence = Find(id);
  if (sequence == nullptr) return;
  sequence->reader_paused = paused;
  try_admission_ = true;
}

void InstanceScheduler::FailAll(const absl::Status& why) {
  std::vector<Sequence*> all;
  for (const auto& [id, sequence] : sequences_) {
    if (sequence->phase != Sequence::Phase::kKept) all.push_back(sequence.get());
  }
  for (Sequence* sequence : all) Fail(*sequence, why);
}

// --- Results -------------------------------------------------------------------------------------

absl::Status InstanceScheduler::OnResult(wire::StepResult result, absl::Duration now) {
  if (result.epoch != shape_.epoch ||
      (in_flight_.empty() ? result.number < next_number_
                          : result.number < in_flight_.front().number)) {
    ++counters_.stale_results;
    return absl::OkStatus();
  }
  if (!result.status.ok()) StrikeStep(result);
  if (!running_) {
    ++counters_.stale_results;
    return absl::OkStatus();
  }
  if (!result.status.ok()) {
    running_ = false;
    return Annotate(result.status, absl::StrCat("step ", result.number));
  }
  if (in_flight_.empty() || result.number != in_flight_.front().number) {
    running_ = false;
    return absl::InvalidArgumentError(
        absl::StrCat("the last stage answered step ", result.number, " out of turn"));
  }
  const StepInFlight step = std::move(in_flight_.front());
  in_flight_.pop_front();
  last_result_at_ = now;
  if (absl::Status status = CheckResult(result, step); !status.ok()) {
    running_ = false;
    return status;
  }
  // What a peer says of itself: no more than there was, and no NaN.
  const double took_seconds = absl::ToDoubleSeconds(now - step.composed_at);
  for (wire::StageTiming& timing : result.timings) {
    for (double* seconds : {&timing.computing_seconds, &timing.waiting_seconds})
      *seconds = *seconds > 0 ? std::min(*seconds, took_seconds) : 0;
  }
  for (const model::SequenceId id : step.sequences) {
    if (Sequence* sequence = Find(id); sequence != nullptr)
      sequence->stage_times.Add(result.timings);
  }
  for (size_t i = 0; i < std::min(result.timings.size(), computing_seconds_.size()); ++i)
    computing_seconds_[i] += result.timings[i].computing_seconds;
  if (!step.partial) pace_.Measured(step.decode_tokens, step.prefill_tokens, result.timings);
  for (const Progress& progress : step.progress) {
    const Sequence* sequence = Find(progress.sequence);
    if (sequence != nullptr && sequence->phase != Sequence::Phase::kKept)
      TellProgress(*sequence, progress.position);
  }
  const int64_t tokens_before = counters_.generated_tokens;
  for (size_t i = 0; i < result.tokens.size(); ++i) {
    wire::TokenResult& token = result.tokens[i];
    if (token.sequence == probe_id_) {
      probe_ = Probe::kPassed;
      commands_.emplace_back(model::FreeCommand{probe_id_});
      continue;
    }
    Sequence* sequence = Find(step.samples[i].sequence);
    // One that was sent twice, around a preemption, is taken once.
    if (sequence != nullptr && sequence->phase != Sequence::Phase::kKept &&
        sequence->size() == token.position)
      AcceptToken(*sequence, std::move(token));
  }
  rate_.Note(now, counters_.generated_tokens - tokens_before);
  AcceptRows(step, result.hidden);
  return absl::OkStatus();
}

absl::Status InstanceScheduler::CheckResult(const wire::StepResult& result,
                                            const StepInFlight& step) const {
  int64_t num_rows = 0;
  for (const Rows& rows : step.rows) num_rows += rows.count;
  bool matches = result.tokens.size() == step.samples.size() &&
                 std::ssize(result.hidden) == num_rows * model_.model_dim;
  for (size_t i = 0; matches && i < result.tokens.size(); ++i) {
    const wire::TokenResult& token = result.tokens[i];
    matches = token.sequence == step.samples[i].stage_id &&
              token.position == step.samples[i].position && token.id >= 0 &&
              token.id < model_.vocab_size;
  }
  if (matches) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the last stage answered step ", result.number,
                                                 " with what nobody had asked for"));
}

void InstanceScheduler::AcceptToken(Sequence& sequence, wire::TokenResult token) {
  sequence.step_errors = 0;
  ++counters_.generated_tokens;
  if (std::ranges::find(sequence.request.end_tokens, token.id) !=
      sequence.request.end_tokens.end()) {
    Finish(sequence, model::FinishReason::kStop);
    return;
  }
  sequence.tokens.push_back(token.id);
  events_.push_back({.kind = SchedulerEvent::Kind::kToken,
                     .sequence = sequence.id,
                     .token = token.id,
                     .logprobs = std::move(token.logprobs)});
  if (sequence.generated() == sequence.request.max_tokens || sequence.size() >= ContextLength())
    Finish(sequence, model::FinishReason::kLength);
}

// As CheckResult has found them.
void InstanceScheduler::AcceptRows(const StepInFlight& step, std::span<const float> rows) {
  for (const auto& [id, position, count] : step.rows) {
    const auto of_this = rows.first(static_cast<size_t>(count) * model_.model_dim);
    rows = rows.subspan(of_this.size());
    Sequence* sequence = Find(id);
    // Those that were sent twice, around a preemption, are taken once.
    if (sequence == nullptr || position + count <= sequence->rows_taken) continue;
    const auto fresh =
        of_this.subspan(static_cast<size_t>(sequence->rows_taken - position) * model_.model_dim);
    sequence->step_errors = 0;
    sequence->rows_taken = position + count;
    counters_.rows += std::ssize(fresh) / model_.model_dim;
    events_.push_back({.kind = SchedulerEvent::Kind::kRows,
                       .sequence = id,
                       .rows = {fresh.begin(), fresh.end()}});
    if (sequence->rows_taken == sequence->size()) Finish(*sequence, model::FinishReason::kStop);
  }
}

void InstanceScheduler::TellProgress(const Sequence& sequence, int32_t computed_tokens) {
  events_.push_back({.kind = SchedulerEvent::Kind::kProgress,
                     .sequence = sequence.id,
                     .computed_tokens = computed_tokens,
                     .prompt_tokens = sequence.prompt_length,
                     .cached_tokens = sequence.cached_tokens});
}

void InstanceScheduler::Finish(Sequence& sequence, model::FinishReason reason) {
  const bool keep = sequence.phase == Sequence::Phase::kActive && !sequence.wants_rows() &&
                    sequence.sent >= kBlockPositions && !sequence.replaying();
  End(sequence, {.kind = SchedulerEvent::Kind::kFinished, .reason = reason});
  if (!keep) {
    Forget(sequence);
    return;
  }
  std::erase(active_, &sequence);
  sequence.phase = Sequence::Phase::kKept;
  ledger_.Cut(sequence.blocks, BlocksFor(sequence.sent));
  kept_.push_back(&sequence);
  try_admission_ = true;
}

void InstanceScheduler::Fail(Sequence& sequence, absl::Status why) {
  End(sequence, {.kind = SchedulerEvent::Kind::kFailed, .status = std::move(why)});
  Forget(sequence);
}

void InstanceScheduler::End(Sequence& sequence, SchedulerEvent event) {
  event.sequence = sequence.id;
  event.prompt_tokens = sequence.prompt_length;
  event.cached_tokens = sequence.cached_tokens;
  event.generated_tokens = sequence.generated();
  event.admitted_at = sequence.admitted_at;
  event.stage_times = sequence.stage_times;
  events_.push_back(std::move(event));
}

// A sequence whose step fails twice is why it fails. Until it has a token again it travels alone
// (step_composer.cc), so that it takes no others with it. The steps that follow the failed one fail
// for its sake, and later ones may be heard of first: only the first with an error of its own
// counts.
void InstanceScheduler::StrikeStep(const wire::StepResult& result) {
  const bool of_link = absl::IsUnavailable(result.status);
  const bool of_order = absl::IsFailedPrecondition(result.status);  // a step before it is missing
  const auto step = std::ranges::find(in_flight_, result.number, &StepInFlight::number);
  if (of_link || of_order || struck_ || step == in_flight_.end()) return;
  struck_ = true;
  for (const model::SequenceId id : step->sequences) {
    Sequence* sequence = Find(id);
    if (sequence == nullptr || sequence->phase == Sequence::Phase::kKept) continue;
    if (++sequence->step_errors >= kMostStepErrors) {
      Fail(*sequence, result.status);
    } else {
      ++counters_.retries;
    }
  }
}

std::optional<absl::Duration> InstanceScheduler::ProgressDeadline() const {
  if (!running_ || in_flight_.empty()) return std::nullopt;
  double expected = 0;
  for (const StepInFlight& step : in_flight_) expected += step.expected_seconds;
  const absl::Duration since = std::max(in_flight_.front().composed_at, last_result_at_);
  return since + std::max(kLeastPatience, absl::Seconds(kPatience * expected));
}

bool InstanceScheduler::IsInFlight(int64_t number) const {
  return !in_flight_.empty() && in_flight_.front().number <= number &&
         number <= in_flight_.back().number;
}

std::optional<absl::Duration> InstanceScheduler::OldestComposedAt() const {
  if (in_flight_.empty()) return std::nullopt;
  return in_flight_.front().composed_at;
}

// --- Epochs --------------------------------------------------------------------------------------

void InstanceScheduler::EndEpoch(EpochEnd why) {
  running_ = false;
  for (const StepInFlight& step : in_flight_)
    in_flight_at_end_.insert(step.sequences.begin(), step.sequences.end());
  in_flight_.clear();
  if (why == EpochEnd::kWorkerDied) {
    after_death_ = true;
    StrikeInFlight();
  }
}

// Kept from an end that looked harmless: a worker's neighbours may see its links break before its
// own death is known.
void InstanceScheduler::StrikeInFlight() {
  for (const model::SequenceId id : std::exchange(in_flight_at_end_, {})) {
    Sequence* sequence = Find(id);
    if (sequence == nullptr || sequence->phase == Sequence::Phase::kKept) continue;
    if (++sequence->worker_deaths >= kMostWorkerDeaths) {
      Fail(*sequence, absl::AbortedError("two workers died while they computed this request; it is "
                                         "not tried again"));
    }
  }
}

wire::SequenceStart InstanceScheduler::StartOf(const Sequence& sequence) const {
  return {.sequence = sequence.stage_id,
          .sampling = sequence.request.sampling,
          .prompt_length = sequence.prompt_length,
          .choice = sequence.request.choice,
          .top_logprobs = sequence.request.top_logprobs};
}

bool InstanceScheduler::HasCachesOf(const PipelineShape& shape) const {
  return shape.kv_capacity / kBlockPositions == ledger_.num_blocks() &&
         shape.max_sequences == shape_.max_sequences;
}

std::vector<wire::Commit::Sequence> InstanceScheduler::BeginEpoch(PipelineShape shape) {
  const auto num_blocks = static_cast<int32_t>(shape.kv_capacity / kBlockPositions);
  if (!HasCachesOf(shape)) {
    // Caches of another size are new and empty.
    while (!active_.empty()) Preempt(*active_.back());
    while (EvictOldestKept(nullptr)) continue;
    ledger_ = BlockLedger(num_blocks);
  }
  commands_.clear();  // the Commit frees whoever it does not name
  shape_ = std::move(shape);
  pace_ = StagePace(shape_.stages);
  computing_seconds_.assign(shape_.stages.size(), 0);
  std::vector<wire::Commit::Sequence> kept;
  for (const auto& [id, sequence] : sequences_) {
    sequence->stage_times = {};
    if (sequence->phase == Sequence::Phase::kWaiting) continue;
    kept.push_back({.start = StartOf(*sequence), .length = sequence->most_held()});
  }
  return kept;
}

void InstanceScheduler::OnHeld(std::span<const std::vector<wire::SequenceLength>> by_stage,
                               int64_t next_number) {
  // By sequence, what each stage has; nothing where it said nothing.
  std::map<model::SequenceId, std::vector<wire::SequenceLength>> held;
  for (size_t stage = 0; stage < by_stage.size(); ++stage) {
    for (const wire::SequenceLength& length : by_stage[stage])
      held.try_emplace(length.sequence, by_stage.size()).first->second[stage] = length;
  }
  const OwnerOfBlock owners = Owners();
  std::vector<Sequence*> resident(active_);
  resident.insert(resident.end(), kept_.begin(), kept_.end());
  for (Sequence* sequence : resident) {
    std::vector<wire::SequenceLength>& of =
        held.try_emplace(sequence->stage_id, by_stage.size()).first->second;
    for (wire::SequenceLength& at : of) at.length = std::clamp(at.length, 0, sequence->most_held());
    if (sequence->phase == Sequence::Phase::kActive) {
      if (after_death_) ++counters_.requests_resumed;
      Resume(*sequence, of, owners);
    } else {
      const auto [least, most] = std::ranges::minmax(of, {}, &wire::SequenceLength::length);
      TrimKept(*sequence, least.length, most.length);
    }
  }
  ReserveAgain();
  std::vector<Sequence*> too_large;
  for (const auto& [id, sequence] : waiting_) {
    if (NeverFits(*sequence)) too_large.push_back(sequence);
  }
  for (Sequence* sequence : too_large) {
    Fail(*sequence, absl::ResourceExhaustedError(absl::StrCat(
                        "what is left of the cluster holds ", PositionLimit(),
                        " positions, this request has ", sequence->size(), ": add a device")));
  }
  after_death_ = false;
  in_flight_at_end_.clear();
  struck_ = false;
  running_ = true;
  probe_ = Probe::kDue;
  replayed_last_ = false;
  next_number_ = next_number;
  try_admission_ = true;
}

}  // namespace potluck::coordinator
