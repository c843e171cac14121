#include "coordinator/instance/instance.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace potluck::coordinator {
namespace {

// Loading may take minutes, but something of it comes every few seconds; the other parts of a
// change are quick, and wait at most for one step of the old epoch.
constexpr absl::Duration kLoadingPatience = absl::Minutes(2);
constexpr absl::Duration kChangePatience = absl::Seconds(10);
// Of the weights: less is no progress.
constexpr double kProgress = 1e-4;

}  // namespace

Instance::Instance(InstanceModel model, Executor& executor, InstanceHost& host)
    : model_(std::move(model)),
      executor_(executor),
      host_(host),
      scheduler_(model_.scheduled),
      progress_(executor),
      change_(executor) {}

bool Instance::Uses(const wire::WorkerId& worker) const {
  return (serving_ && pipeline_->Uses(worker)) || (target_ && target_->Uses(worker));
}

bool Instance::IsStray(const wire::WorkerId& worker, const model::Epoch& epoch) const {
  return serving_ && !Uses(worker) && (epoch <= pipeline_->epoch || !touched_.contains(worker));
}

double Instance::loaded_fraction() const {
  if (fractions_.empty()) return serving_ ? 1 : 0;
  return std::accumulate(fractions_.begin(), fractions_.end(), 0.0) /
         static_cast<double>(fractions_.size());
}

// --- Changes -------------------------------------------------------------------------------------

void Instance::Change(partition::InstancePlan plan, const model::Epoch& epoch) {
  GiveUpChange();
  last_epoch_ = epoch;
  target_ = MakePipeline(std::move(plan), epoch, model_.windowed, model_.max_step_tokens);
  phase_ = Phase::kPreparing;
  fractions_.assign(target_->plan.stages.size(), 0);
  held_.assign(target_->plan.stages.size(), {});
  unprepared_.clear();
  for (int32_t stage = 0; stage < target_->num_stages(); ++stage) unprepared_.insert(stage);
  Log(LogLevel::kInfo, "plan begun",
      {{"instance", model_.id},
       {"model", model_.name},
       {"epoch", epoch.number},
       {"stages", target_->num_stages()}});
  WatchChange();
  for (int32_t stage = 0; target_ && stage < target_->num_stages(); ++stage) {
    touched_.insert(target_->worker(stage));
    host_.SendControl(target_->worker(stage), PrepareFor(stage));
  }
}

void Instance::PrepareForLoss(partition::InstancePlan plan, const model::Epoch& epoch) {
  Change(std::move(plan), epoch);
  holds_ = true;
}

void Instance::EndHold() {
  if (!holds_) return;
  GiveUpChange();
  ReleaseLeftovers();
}

void Instance::ReleaseLeftovers() {
  std::erase_if(touched_, [&](const wire::WorkerId& worker) {
    if (pipeline_->Uses(worker)) return false;
    host_.SendControl(worker, wire::Release{.instance = model_.id, .epoch = last_epoch_});
    return true;
  });
}

wire::Prepare Instance::PrepareFor(int32_t stage) const {
  const partition::StagePlan& plan = target_->plan.stages[stage];
  wire::Prepare prepare;
  prepare.instance = model_.id;
  prepare.epoch = target_->epoch;
  prepare.stage = stage;
  prepare.num_stages = target_->num_stages();
  prepare.device = plan.device_id.substr(plan.worker_id.size() + 1);
  prepare.manifest = model_.manifest;
  prepare.range = {2 * plan.first_layer, 2 * (plan.last_layer + 1)};
  prepare.context_length = target_->plan.context_length;
  prepare.kv_capacity = target_->shape.kv_capacity;
  prepare.max_sequences = target_->shape.max_sequences;
  prepare.max_tokens = target_->shape.max_tokens;
  prepare.max_outputs = target_->shape.max_outputs;
  prepare.replay_bytes = plan.replay_bytes;
  prepare.kv_dtype = model_.kv_dtype;
  if (stage > 0) {
    const wire::WorkerId& before = target_->worker(stage - 1);
    prepare.previous = {host_.PeerOf(before), host_.HopBetween(before, plan.worker_id)};
  }
  if (stage + 1 < target_->num_stages()) {
    const wire::WorkerId& after = target_->worker(stage + 1);
    prepare.next = {host_.PeerOf(after), host_.HopBetween(plan.worker_id, after)};
  }
  for (const wire::WorkerId& worker : touched_) {
    if (worker == plan.worker_id || !host_.IsConnected(worker)) continue;
    wire::Peer source = host_.PeerOf(worker);
    if (!source.addresses.empty()) prepare.sources.push_back(std::move(source));
  }
  return prepare;
}

void Instance::GiveUpChange() {
  if (target_ && serving_) {
    const auto present = pipeline_->plan.placements(), given_up = target_->plan.placements();
    for (int32_t stage = 0; stage < target_->num_stages(); ++stage) {
      has_leftovers_ |= pipeline_->Uses(target_->worker(stage)) &&
                        std::ranges::count(present, given_up[stage]) == 0;
    }
  }
  target_.reset();
  phase_ = Phase::kNone;
  holds_ = false;
  ahead_.reset();
  behind_ = INT64_MAX;
  fractions_.clear();
  change_.Cancel();
}

void Instance::Release(int64_t term) {
  GiveUpChange();
  EndEpoch(EpochEnd::kPlanned);
  for (const wire::WorkerId& worker : touched_) {
    host_.SendControl(
        worker, wire::Release{.instance = model_.id, .epoch = {.term = term, .number = INT64_MAX}});
  }
  touched_.clear();
}

bool Instance::IsForTarget(const wire::WorkerId& from, const model::Epoch& epoch,
                           int32_t stage) const {
  return target_ && epoch == target_->epoch && stage >= 0 && stage < target_->num_stages() &&
         target_->worker(stage) == from;
}

void Instance::OnProgress(const wire::WorkerId& from, const wire::PrepareProgress& message) {
  if (phase_ != Phase::kPreparing || !IsForTarget(from, message.epoch, message.stage)) return;
  const double fraction = std::clamp(message.fraction, 0.0, 1.0);
  if (!(fraction >= fractions_[message.stage] + kProgress)) return;
  fractions_[message.stage] = fraction;
  WatchChange();
}

void Instance::OnPrepared(const wire::WorkerId& from, const wire::Prepared& message) {
  if (phase_ != Phase::kPreparing || !IsForTarget(from, message.epoch, message.stage)) return;
  if (!message.status.ok()) {
    Refused(message.stage, message.status);
    return;
  }
  fractions_[message.stage] = 1;
  held_[message.stage] = message.held;
  unprepared_.erase(message.stage);
  if (unprepared_.empty()) OnAllPrepared();
}

void Instance::Refused(int32_t stage, const absl::Status& why) {
  const wire::WorkerId worker = target_->worker(stage);
  GiveUpChange();
  Log(LogLevel::kWarning, "stage refused",
      {{"instance", model_.id}, {"worker", worker}, {"status", why}});
  host_.OnStageRefused(model_.id, worker, why);
}

// --- Ahead of the fence --------------------------------------------------------------------------

void Instance::OnAllPrepared() {
  if (holds_) {
    change_.Cancel();
  } else {
    BeginAhead();
  }
}

bool Instance::ServesAlready(int32_t stage) const {
  const auto now = pipeline_->plan.placements(), then = target_->plan.placements();
  return std::ranges::count(now, then[static_cast<size_t>(stage)]) > 0;
}

void Instance::BeginAhead() {
  if (serving_ && scheduler_.ready() && !ahead_failed_) {
    std::vector<std::optional<std::vector<wire::SequenceLength>>> served(held_.size());
    for (int32_t stage = 0; stage < target_->num_stages(); ++stage) {
      if (ServesAlready(stage)) served[stage] = held_[stage];
    }
    if (ahead_.has_value()) {
      scheduler_.PlanFurther(served, *ahead_);
    } else {
      ahead_ = scheduler_.PlanAhead(target_->shape, served);
    }
  }
  if (!ahead_.has_value()) return FenceOld();
  if (ahead_->done()) return EndAhead();
  phase_ = Phase::kReplayingAhead;
  PumpAhead();
}

void Instance::PumpAhead() {
  WatchChange();
  while (auto frame = ahead_->ComposeNext(scheduler_.AheadChunk(), target_->num_stages()))
    host_.SendData(target_->first_worker(), *std::move(frame));
  if (!ahead_->done()) return;
  const int64_t behind = scheduler_.TokensBeyond(*ahead_);
  const bool catches_up = behind > scheduler_.AheadChunk() && behind < behind_;
  if (!serving_ || !catches_up) return EndAhead();
  behind_ = behind;
  CatchUp();
}

// More has been said while the last round ran, and less than in the round before: another one. The
// stages that serve say what they hold by now.
void Instance::CatchUp() {
  phase_ = Phase::kPreparing;
  unprepared_.clear();
  for (int32_t stage = 0; stage < target_->num_stages(); ++stage) {
    if (!ServesAlready(stage)) continue;
    unprepared_.insert(stage);
    host_.SendControl(target_->worker(stage), PrepareFor(stage));
  }
  if (unprepared_.empty()) BeginAhead();
}

void Instance::EndAhead() {
  Log(LogLevel::kInfo, "replayed ahead",
      {{"instance", model_.id},
       {"epoch", target_->epoch.number},
       {"tokens", ahead_->num_tokens()}});
  FenceOld();
}

// Nobody is served now: who waits goes on sooner after the fence.
void Instance::CutAheadShort() {
  ahead_->Stop();
  PumpAhead();
}

// Nothing is lost: the next change replays after its fence.
void Instance::FailAhead(const absl::Status& why) {
  Log(LogLevel::kWarning, "replay ahead failed", {{"instance", model_.id}, {"status", why}});
  ahead_failed_ = true;
  GiveUpChange();
  host_.OnEpochFailed(model_.id, /*culprit=*/"", why);
}

// --- Fence and commit ----------------------------------------------------------------------------

void Instance::FenceOld() {
  EndEpoch(EpochEnd::kPlanned);
  phase_ = Phase::kFencing;
  WatchChange();
  unfenced_.clear();
  // All that may still run steps of an older epoch.
  for (const wire::WorkerId& worker : touched_) {
    if (!host_.IsConnected(worker)) continue;
    unfenced_.insert(worker);
    host_.SendControl(worker, wire::Fence{.instance = model_.id, .epoch = target_->epoch});
  }
  if (unfenced_.empty()) CommitNew();
}

void Instance::OnFenced(const wire::WorkerId& from, const wire::Fenced& message) {
  if (phase_ != Phase::kFencing || message.epoch != target_->epoch) return;
  unfenced_.erase(from);
  if (unfenced_.empty()) CommitNew();
}

void Instance::CommitNew() {
  phase_ = Phase::kCommitting;
  WatchChange();
  const std::vector<wire::Commit::Sequence> sequences = scheduler_.BeginEpoch(target_->shape);
  held_.assign(target_->plan.stages.size(), {});
  uncommitted_.clear();
  for (int32_t stage = 0; stage < target_->num_stages(); ++stage) uncommitted_.insert(stage);
  for (const wire::WorkerId& worker : target_->workers()) {
    host_.SendControl(
        worker,
        wire::Commit{.instance = model_.id, .epoch = target_->epoch, .sequences = sequences});
  }
}

void Instance::OnCommitted(const wire::WorkerId& from, wire::Committed message) {
  if (phase_ != Phase::kCommitting || !IsForTarget(from, message.epoch, message.stage)) return;
  if (!message.status.ok()) {
    Refused(message.stage, message.status);
    return;
  }
  held_[message.stage] = std::move(message.held);
  uncommitted_.erase(message.stage);
  if (uncommitted_.empty()) FinishChange();
}

void Instance::FinishChange() {
  const int64_t next_number = ahead_ ? ahead_->next_number() : 1;
  pipeline_ = *std::exchange(target_, std::nullopt);
  GiveUpChange();
  serving_ = true;
  ahead_failed_ = false;
  has_leftovers_ = false;
  scheduler_.OnHeld(held_, next_number);
  ReleaseLeftovers();
  Log(LogLevel::kInfo, "plan in place",
      {{"instance", model_.id}, {"epoch", pipeline_->epoch.number}});
  Pump();
  host_.OnInstanceChanged(model_.id);
}

void Instance::EndEpoch(EpochEnd why) {
  scheduler_.EndEpoch(why);
  serving_ = false;
  progress_.Cancel();
  host_.OnEvents(model_.id, scheduler_.TakeEvents());
}

void Instance::OnWorkerLost(const wire::WorkerId& worker) {
  // Also where the epoch has ended already: a dying worker's neighbours may have been heard first.
  if (pipeline_ && pipeline_->Uses(worker)) EndEpoch(EpochEnd::kWorkerDied);
  if (target_ && target_->Uses(worker)) {
    GiveUpChange();
  } else if (holds_ && !serving_) {
    holds_ = false;
    if (unprepared_.empty()) OnAllPrepared();
  } else if (phase_ == Phase::kReplayingAhead && !serving_) {
    CutAheadShort();
  } else if (phase_ == Phase::kFencing && unfenced_.erase(worker) > 0 && unfenced_.empty()) {
    CommitNew();
  }
}

// A change that stands still is given up; whoever holds it up is said.
void Instance::WatchChange() {
  const bool computes = phase_ == Phase::kPreparing || phase_ == Phase::kReplayingAhead;
  const absl::Duration patience = computes ? kLoadingPatience : kChangePatience;
  change_.Start(patience, [this] {
    if (phase_ == Phase::kReplayingAhead) {
      FailAhead(absl::DeadlineExceededError("the stages of the next plan make no progress"));
      return;
    }
    wire::WorkerId worker;
    if (phase_ == Phase::kPreparing) worker = target_->worker(*unprepared_.begin());
    if (phase_ == Phase::kFencing) worker = *unfenced_.begin();
    if (phase_ == Phase::kCommitting) worker = target_->worker(*uncommitted_.begin());
    GiveUpChange();
    host_.OnStageStuck(model_.id, worker);
  });
}

// --- Steps ---------------------------------------------------------------------------------------

absl::StatusOr<model::SequenceId> Instance::Submit(SequenceRequest request) {
  auto id = scheduler_.Submit(std::move(request));
  // The caller has to know the id before it hears of it.
  if (id.ok())
    executor_.Post([this, alive = std::weak_ptr(alive_)] {
      if (!alive.expired()) Pump();
    });
  return id;
}

void Instance::Cancel(model::SequenceId sequence) {
  scheduler_.Cancel(sequence);
  Pump();
}

void Instance::Stop(model::SequenceId sequence) {
  scheduler_.Stop(sequence);
  Pump();
}

void Instance::SetReaderPaused(model::SequenceId sequence, bool paused) {
  scheduler_.SetReaderPaused(sequence, paused);
  Pump();
}

void Instance::FailAll(const absl::Status& why) {
  scheduler_.FailAll(why);
  Pump();
}

absl::Status Instance::OnResult(const wire::WorkerId& from, wire::StepResult result) {
  if (phase_ == Phase::kReplayingAhead && result.epoch == ahead_->epoch()) {
    if (!target_->Uses(from))
      return absl::InvalidArgumentError(
          absl::StrCat("a result comes from worker ", from, ", which is not part of the plan"));
    if (absl::Status status = ahead_->OnResult(result); !status.ok()) {
      FailAhead(status);
    } else {
      PumpAhead();
    }
    return absl::OkStatus();
  }
  if (!pipeline_ || result.epoch != pipeline_->epoch) return absl::OkStatus();
  if (result.status.ok() ? from != pipeline_->last_worker() : !pipeline_->Uses(from)) {
    return absl::InvalidArgumentError(absl::StrCat("a result of instance ", model_.id,
                                                   " comes from worker ", from,
                                                   ", which does not make any"));
  }
  const bool was_ready = ready();
  const absl::Duration now = executor_.clock().SinceStart();
  const std::optional<absl::Duration> composed_at = scheduler_.OldestComposedAt();
  if (result.status.ok() && composed_at.has_value())
    host_.OnStep(model_.id, result.timings, now - *composed_at);
  const absl::Status status = scheduler_.OnResult(std::move(result), now);
  // After a first error others may follow until the fence: the scheduler tells which one counts.
  if (status.ok()) {
    Pump();
    if (!was_ready && ready()) host_.OnInstanceChanged(model_.id);
  } else if (serving_) {
    FailEpoch(status, from);
  } else {
    host_.OnEvents(model_.id, scheduler_.TakeEvents());
  }
  return absl::OkStatus();
}

void Instance::FailEpoch(const absl::Status& why, const wire::WorkerId& culprit) {
  Log(LogLevel::kWarning, "epoch failed", {{"instance", model_.id}, {"status", why}});
  serving_ = false;
  progress_.Cancel();
  host_.OnEvents(model_.id, scheduler_.TakeEvents());
  if (phase_ == Phase::kReplayingAhead) CutAheadShort();
  EndHold();
  host_.OnEpochFailed(model_.id, culprit, why);
}

absl::Status Instance::Relay(const wire::WorkerId& from, wire::StageFrame frame) {
  const bool is_ahead = ahead_ && frame.step.epoch == ahead_->epoch() && target_;
  Pipeline* pipeline = nullptr;
  if (serving_ && frame.step.epoch == pipeline_->epoch) pipeline = &*pipeline_;
  if (is_ahead) pipeline = &*target_;
  if (pipeline == nullptr) return absl::OkStatus();
  const auto next = static_cast<int64_t>(frame.timings.size());
  if (next < 1 || next >= pipeline->num_stages() ||
      pipeline->worker(static_cast<int32_t>(next) - 1) != from) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker ", from, " relays a frame of a stage that it does not run"));
  }
  // Each step once, so that nobody can flood the next stage through us.
  const int64_t number = frame.step.number;
  const bool waited_for = is_ahead ? number < ahead_->next_number() : scheduler_.IsInFlight(number);
  int64_t& last = pipeline->relayed[next];
  if (!waited_for || number <= last) return absl::OkStatus();
  last = number;
  host_.SendData(pipeline->worker(static_cast<int32_t>(next)), std::move(frame));
  return absl::OkStatus();
}

void Instance::Pump() {
  const absl::Duration now = executor_.clock().SinceStart();
  while (serving_) {
    std::optional<wire::StageFrame> frame = scheduler_.ComposeNext(now);
    if (!frame.has_value()) break;
    host_.SendData(pipeline_->first_worker(), *std::move(frame));
  }
  WatchProgress();
  if (std::vector<SchedulerEvent> events = scheduler_.TakeEvents(); !events.empty())
    host_.OnEvents(model_.id, std::move(events));
}

void Instance::WatchProgress() {
  const std::optional<absl::Duration> deadline =
      serving_ ? scheduler_.ProgressDeadline() : std::nullopt;
  if (!deadline.has_value()) {
    progress_.Cancel();
  } else if (!progress_.running()) {
    const absl::Duration left = *deadline - executor_.clock().SinceStart();
    progress_.Start(std::max(left, absl::ZeroDuration()), [this] { OnNoProgress(); });
  }
}

// The deadline moves with every result, the timer only when it is due: most often nothing is wrong.
void Instance::OnNoProgress() {
  const std::optional<absl::Duration> deadline = scheduler_.ProgressDeadline();
  if (!serving_ || !deadline.has_value()) return;
  if (*deadline > executor_.clock().SinceStart()) {
    WatchProgress();
    return;
  }
  // The first stage that lags behind those before it holds the others up.
  int32_t culprit = 0;
  std::optional<wire::Heartbeat::Stage> least;
  for (int32_t stage = 0; stage < pipeline_->num_stages(); ++stage) {
    const auto report = host_.ReportOf(pipeline_->worker(stage), model_.id, pipeline_->epoch);
    const int64_t last = report ? report->last_step : -1;
    if (stage > 0 && last >= (least ? least->last_step : -1)) continue;
    least = report;
    culprit = stage;
  }
  const wire::WorkerId worker = pipeline_->worker(culprit);
  const wire::WorkerId before = culprit > 0 ? pipeline_->worker(culprit - 1) : "";
  if (culprit > 0 && least && least->waiting == 0 &&
      host_.HopBetween(before, worker) != wire::HopKind::kRelayed) {
    host_.OnHopStuck(model_.id, before, worker);
    return;
  }
  EndEpoch(EpochEnd::kWorkerDied);
  host_.OnStageStuck(model_.id, worker);
}

}  // namespace potluck::coordinator
