// One model on one pipeline of workers: carries out changes of plan as epochs, and moves the
// scheduler's frames and results between it and the stages.
//
// A change: Prepare to all stages of the new pipeline while the old one serves; when all are
// prepared, and the new ones of them filled with what has been said so far, Fence to the workers of
// the old one; when those that live have answered, Commit; when all have, the scheduler replays
// what some stage lacks, and goes on. A worker's loss at any of these points leaves the instance
// without a change under way: whoever plans begins another one, with a higher epoch, and what is
// prepared already is found again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "coordinator/instance/pipeline.h"
#include "coordinator/scheduler/instance_scheduler.h"
#include "wire/messages.h"

namespace potluck::coordinator {

// What an instance runs, and as whom.
struct InstanceModel {
  model::InstanceId id = 0;
  std::string name;
  wire::Digest manifest{};
  kernels::DType kv_dtype = kernels::DType::kF16;
  int64_t max_step_tokens = 512;
  bool windowed = false;  // some layers see only so many positions
  ScheduledModel scheduled;
};

class InstanceHost {
 public:
  virtual ~InstanceHost() = default;
  virtual bool SendControl(const wire::WorkerId& worker, wire::Message message) = 0;
  virtual bool SendData(const wire::WorkerId& worker, wire::Message message) = 0;
  virtual bool IsConnected(const wire::WorkerId& worker) const = 0;
  virtual wire::Peer PeerOf(const wire::WorkerId& worker) const = 0;
  virtual wire::HopKind HopBetween(const wire::WorkerId& from, const wire::WorkerId& to) const = 0;
  // What it has last said of its stage in this epoch, of the one that lags where it has several.
  virtual std::optional<wire::Heartbeat::Stage> ReportOf(const wire::WorkerId& worker,
                                                         model::InstanceId instance,
                                                         const model::Epoch& epoch) const = 0;

  // A change has ended or cannot go on, or the instance has become ready: a plan may be wanted.
  virtual void OnInstanceChanged(model::InstanceId instance) = 0;
  // The worker could not do its part of the plan.
  virtual void OnStageRefused(model::InstanceId instance, const wire::WorkerId& worker,
                              const absl::Status& why) = 0;
  // The worker's stage makes no progress.
  virtual void OnStageStuck(model::InstanceId instance, const wire::WorkerId& worker) = 0;
  // What the first of two neighbours has sent does not reach the second.
  virtual void OnHopStuck(model::InstanceId instance, const wire::WorkerId& from,
                          const wire::WorkerId& to) = 0;
  // The epoch's stages do not agree any more: the same plan, begun again, heals that. `culprit`:
  // whose answer ended it; "" where nobody's did.
  virtual void OnEpochFailed(model::InstanceId instance, const wire::WorkerId& culprit,
                             const absl::Status& why) = 0;
  virtual void OnEvents(model::InstanceId instance, std::vector<SchedulerEvent> events) = 0;
  // A step has come back from all stages; `took`: since it was composed.
  virtual void OnStep(model::InstanceId instance, std::span<const wire::StageTiming> timings,
                      absl::Duration took) = 0;
};

// Single-threaded: lives on its executor.
class Instance {
 public:
  // All must outlive the object.
  Instance(InstanceModel model, Executor& executor, InstanceHost& host);

  const InstanceModel& model() const { return model_; }
  const InstanceScheduler& scheduler() const { return scheduler_; }
  // The pipeline that serves, or served last; null before the first.
  const Pipeline* pipeline() const { return pipeline_ ? &*pipeline_ : nullptr; }
  // Where a change leads.
  const Pipeline* target() const { return target_ ? &*target_ : nullptr; }
  // Steps run, or may.
  bool serving() const { return serving_; }
  bool ready() const { return serving_ && scheduler_.ready(); }
  bool Uses(const wire::WorkerId& worker) const;
  // Whether a stage that the worker holds of that epoch is of no use any more. What may be of use
  // for a pipeline that is broken is none.
  bool IsStray(const wire::WorkerId& worker, const model::Epoch& epoch) const;
  // How much of the target's weights is there, 0 to 1.
  double loaded_fraction() const;

  // A newer plan with the placements and the context of the pipeline that serves: who stands by,
  // what losses mean, and what is expected.
  void Refresh(partition::InstancePlan plan) { pipeline_->plan = std::move(plan); }
  // Begins a change to this plan; one that is under way is given up.
  void Change(partition::InstancePlan plan, const model::Epoch& epoch);
  // Prepares such a change for the loss of a worker of the present pipeline, and goes on with it
  // only then: EndHold where it has come back.
  void PrepareForLoss(partition::InstancePlan plan, const model::Epoch& epoch);
  void EndHold();
  bool holds() const { return holds_; }
  // Frees all stages everywhere, of all epochs of this term.
  void Release(int64_t term);
  // Frees what changes that were given up have left on workers that do not serve it.
  void ReleaseLeftovers();
  // Whether they have left something on workers that serve it: the next change frees that, be it
  // one to the same plan.
  bool has_leftovers() const { return has_leftovers_; }

  absl::StatusOr<model::SequenceId> Submit(SequenceRequest request);
  void Cancel(model::SequenceId sequence);
  void Stop(model::SequenceId sequence);
  void SetReaderPaused(model::SequenceId sequence, bool paused);
  void FailAll(const absl::Status& why);

  void OnProgress(const wire::WorkerId& from, const wire::PrepareProgress& message);
  void OnPrepared(const wire::WorkerId& from, const wire::Prepared& message);
  void OnFenced(const wire::WorkerId& from, const wire::Fenced& message);
  void OnCommitted(const wire::WorkerId& from, wire::Committed message);
  absl::Status OnResult(const wire::WorkerId& from, wire::StepResult result);
  // A frame between two stages that cannot reach each other.
  absl::Status Relay(const wire::WorkerId& from, wire::StageFrame frame);
  void OnWorkerLost(const wire::WorkerId& worker);
  // Steps on their way will not come back. Tells OnEpochFailed.
  void FailEpoch(const absl::Status& why, const wire::WorkerId& culprit = "");

 private:
  enum class Phase : uint8_t { kNone, kPreparing, kReplayingAhead, kFencing, kCommitting };

  // Whether the message is the target's, from that stage's worker.
  bool IsForTarget(const wire::WorkerId& from, const model::Epoch& epoch, int32_t stage) const;
  wire::Prepare PrepareFor(int32_t stage) const;
  void GiveUpChange();
  void OnAllPrepared();
  void BeginAhead();
  bool ServesAlready(int32_t stage) const;  // of the next plan
  void PumpAhead();
  void CatchUp();
  void EndAhead();
  void CutAheadShort();
  void FailAhead(const absl::Status& why);
  void FenceOld();
  void CommitNew();
  void FinishChange();
  void EndEpoch(EpochEnd why);
  void Refused(int32_t stage, const absl::Status& why);
  // Sends what can be sent, and tells what has happened.
  void Pump();
  void WatchProgress();
  void OnNoProgress();
  void WatchChange();

  const InstanceModel model_;
  Executor& executor_;
  InstanceHost& host_;
  InstanceScheduler scheduler_;
  std::optional<Pipeline> pipeline_, target_;
  Phase phase_ = Phase::kNone;
  bool serving_ = false;
  bool holds_ = false;                // the change waits for a loss
  bool has_leftovers_ = false;        // on workers that serve
  std::set<wire::WorkerId> touched_;  // that may hold something of this instance
  model::Epoch last_epoch_;           // of all changes
  std::vector<double> fractions_;     // loaded, by stage of the target
  std::set<int32_t> unprepared_, uncommitted_;
  std::set<wire::WorkerId> unfenced_;
  std::vector<std::vector<wire::SequenceLength>> held_;
  std::optional<AheadReplay> ahead_;
  int64_t behind_ = INT64_MAX;  // tokens that its last round had to send
  bool ahead_failed_ = false;   // since a change was carried out
  Timer progress_, change_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
