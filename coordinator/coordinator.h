// The coordinator's logic: members, instances, plans, requests. One executor; all that takes time
// or blocks is elsewhere.
//
// It plans when members or instances change: an instance without a pipeline at once, one that
// serves when a worker of it goes or when the planner finds a better place for it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "coordinator/instance/instance.h"
#include "coordinator/instance/standby_copies.h"
#include "coordinator/membership/membership.h"
#include "coordinator/membership/metrics_relay.h"
#include "coordinator/plan_question.h"
#include "partition/plan.h"
#include "partition/planner.h"
#include "wire/link.h"

namespace potluck::coordinator {

struct CoordinatorOptions {
  wire::Version version;
  int64_t term = 0;                        // higher than in any earlier life of this cluster
  std::string cluster;                     // its name
  std::string host;                        // this machine, as WorkerHello::host has it
  std::vector<KnownWorker> known_workers;  // from an earlier life
  // How long a first plan waits for workers that its split names, and running requests for a
  // cluster that can hold their model again.
  absl::Duration wait_for_workers = absl::Seconds(60);
  // What this process has sent to whom. None: nothing is known.
  std::function<std::vector<wire::Traffic>()> traffic;
  // How long a first plan waits for workers that had the model in an earlier life.
  absl::Duration wait_for_return = absl::Seconds(30);
};

// What happens to a request; all calls are tasks of the executor, the last one is OnFinished or
// OnFailed. None comes after Cancel.
class RequestEvents {
 public:
  virtual ~RequestEvents() = default;
  // Only where the request wants to know.
  virtual void OnProgress(const SchedulerEvent& /*progress*/) {}
  // Of a request for an answer.
  virtual void OnToken(model::TokenId /*token*/,
                       const std::vector<model::TokenLogprob>& /*logprobs*/) {}
  // Of a request for rows: (N, D), those after the ones that came before.
  virtual void OnRows(const std::vector<float>& /*rows*/) {}
  virtual void OnFinished(const SchedulerEvent& end) = 0;
  virtual void OnFailed(const absl::Status& why) = 0;
};

struct Counters {
  int64_t workers_lost = 0;
  int64_t replans = 0;           // changes of plan after an instance's first
  int64_t requests_resumed = 0;  // of instances that are gone
};

// Single-threaded: lives on its executor.
class Coordinator final : public wire::LinkAcceptor,
                          private MembershipEvents,
                          private InstanceHost {
 public:
  // `planner` is where plans are made, which may take a second; `weights` takes the workers'
  // weights links. All must outlive the object.
  Coordinator(CoordinatorOptions options, Executor& executor, Executor& planner,
              wire::LinkAcceptor& weights);
  ~Coordinator() override;

  wire::LinkHandler& OnLink(wire::LinkKind kind, std::unique_ptr<wire::Link> link) override;

  // Plans and loads it as soon as the workers can carry it; ids are the coordinator's. Where
  // `wish.previous` says that an earlier life of this coordinator had it on some devices, those are
  // waited for, for a while, unless they are drained, paused or resting.
  absl::StatusOr<model::InstanceId> Load(InstanceModel model, partition::InstanceWish wish);
  absl::Status Unload(model::InstanceId instance);

  struct RequestId {
    model::InstanceId instance = 0;
    model::SequenceId sequence = 0;
  };
  // NotFound for an unknown instance; Unavailable, with the reason, while nothing can hold it. The
  // events must live until the last of them, or Cancel.
  absl::StatusOr<RequestId> Submit(model::InstanceId instance, SequenceRequest request,
                                   RequestEvents& events);
  void Cancel(const RequestId& request);
  // Its answer is complete: OnFinished follows, and what was computed is kept for a next turn.
  void Stop(const RequestId& request);
  void SetReaderPaused(const RequestId& request, bool paused);

  // FailedPrecondition where the worker is too old to tell; MetricsRelay for other errors.
  void AskMetrics(const wire::WorkerId& worker, MetricsRelay::Done done);

  // The worker in the coordinator's own process: who loses it loses the cluster.
  void SetOwnWorker(wire::WorkerId worker) { own_worker_ = std::move(worker); }

  // For people's wishes.
  Membership& membership() { return membership_; }
  const Membership& membership() const { return membership_; }
  const Counters& counters() const { return counters_; }
  const CoordinatorOptions& options() const { return options_; }
  std::vector<const Instance*> instances() const;
  // Why an instance has no pipeline; OK where it has one or is about to.
  absl::Status TroubleOf(model::InstanceId instance) const;
  // As the planner sees the cluster now.
  partition::ClusterProfile Profile() const;
  // What it would ask the planner now: for one that is loaded (NotFound where it is not), and for
  // another one beside all of them.
  absl::StatusOr<PlanQuestion> QuestionOf(model::InstanceId instance) const;
  PlanQuestion QuestionFor(partition::InstanceWish wish) const;
  // Called in a task after something of what these tell has changed.
  void SetObserver(std::function<void()> changed) { changed_ = std::move(changed); }
  // Called for each step that has come back from all stages of the instance's pipeline; `took`:
  // since it was composed.
  using StepObserver = std::function<void(
      const Instance& instance, std::span<const wire::StageTiming> timings, absl::Duration took)>;
  void SetStepObserver(StepObserver stepped) { stepped_ = std::move(stepped); }

 private:
  // A device that has been found slower than planned, and the share of its speed that it gave.
  struct Slowdown {
    double share = 1;
    absl::Duration until;
  };
  // Who gets no layers of an instance for a while.
  struct Shunned {
    absl::Duration until;
    std::string why;
  };
  // For whom a first plan waits.
  struct Wait {
    absl::Duration until;
    std::set<std::string> names;
  };
  struct Hosted {
    Hosted(InstanceModel model, partition::InstanceWish wished, Executor& executor,
           InstanceHost& host)
        : instance(std::move(model), executor, host), wish(std::move(wished)), no_plan(executor) {}
    Instance instance;
    partition::InstanceWish wish;
    absl::Duration loaded_at;
    int64_t epochs = 0;
    absl::Status trouble;
    bool planless = false;                      // nothing can hold it
    Timer no_plan;                              // runs then, until `gives_up_at`
    std::optional<absl::Duration> gives_up_at;  // unless it serves before
    std::map<wire::WorkerId, Shunned> shunned;
    absl::Duration planned_at;
    int failures = 0;                             // of epochs, since one lasted
    std::map<wire::WorkerId, int> failed_steps;   // by whom, since it gave a result
    int64_t results_at_failure = 0;               // tokens and rows until the last of them
    std::map<std::string, double> planned_share;  // of its devices' speed, by the plan
    std::map<size_t, absl::Duration> slow_since;  // by stage
    int64_t watched_steps = 0;  // that had been run when its pace was last looked at
    StandbyCopies copies;
    std::map<model::SequenceId, RequestEvents*> requests;
  };

  // MembershipEvents
  void OnMembersChanged() override;
  void OnMemberLost(const wire::WorkerId& worker, bool in_order) override;
  void OnHeartbeat(const wire::WorkerId& from, const wire::Heartbeat& heartbeat) override;
  absl::Status OnInstanceMessage(const wire::WorkerId& from, wire::Message message) override;
  absl::Status OnDataMessage(const wire::WorkerId& from, wire::Message message) override;
  // InstanceHost
  bool SendControl(const wire::WorkerId& worker, wire::Message message) override;
  bool SendData(const wire::WorkerId& worker, wire::Message message) override;
  bool IsConnected(const wire::WorkerId& worker) const override;
  wire::Peer PeerOf(const wire::WorkerId& worker) const override;
  wire::HopKind HopBetween(const wire::WorkerId& from, const wire::WorkerId& to) const override;
  std::optional<wire::Heartbeat::Stage> ReportOf(const wire::WorkerId& worker,
                                                 model::InstanceId instance,
                                                 const model::Epoch& epoch) const override;
  void OnInstanceChanged(model::InstanceId instance) override;
  void OnStageRefused(model::InstanceId instance, const wire::WorkerId& worker,
                      const absl::Status& why) override;
  void OnStageStuck(model::InstanceId instance, const wire::WorkerId& worker) override;
  void OnHopStuck(model::InstanceId instance, const wire::WorkerId& from,
                  const wire::WorkerId& to) override;
  void OnEpochFailed(model::InstanceId instance, const wire::WorkerId& culprit,
                     const absl::Status& why) override;
  void OnEvents(model::InstanceId instance, std::vector<SchedulerEvent> events) override;
  void OnStep(model::InstanceId instance, std::span<const wire::StageTiming> timings,
              absl::Duration took) override;

  // Plans without it, for a while.
  void Shun(Hosted& hosted, const wire::WorkerId& worker, std::string_view what,
            const absl::Status& why);
  void PlanSoon(absl::Duration delay = absl::ZeroDuration());
  // Also then, whatever is planned before.
  void PlanLater(absl::Duration delay);
  void PlanAll();
  // One after another, since each takes memory that the next one finds taken.
  void PlanNext();
  // Why a plan is wanted at this moment; nothing where none is.
  enum class PlanFor : uint8_t { kNothing, kImprovement, kLoss, kService };  // the urgent last
  PlanFor WhatFor(Hosted& hosted);
  void Ask(const Hosted& hosted, PlanFor what_for);
  void OnPlan(model::InstanceId instance, PlanFor what_for,
              absl::StatusOr<partition::InstancePlan> plan);
  bool AllReady(const partition::InstancePlan& plan) const;
  // What makes a plan for it urgent; empty: nothing does.
  std::string Urgency(const Hosted& hosted) const;
  // Until when a first plan waits for workers that are not here; the past where it need not.
  Wait WaitOf(const Hosted& hosted) const;
  // `hosted` may be null.
  partition::Occupancy OccupiedByOthers(const Hosted* hosted) const;
  partition::ClusterProfile ProfileFor(const Hosted& hosted) const;
  partition::InstanceWish WishOf(const Hosted& hosted) const;
  PlanQuestion QuestionOf(const Hosted& hosted) const;
  static std::vector<partition::Placement> WithStandbys(const Hosted& hosted,
                                                        const PlanQuestion& question);
  void CannotPlan(Hosted& hosted, const absl::Status& why);
  void KeepCopies(Hosted& hosted);
  bool HasSuspectStandby(const Hosted& hosted) const;
  void WatchPace(Hosted& hosted);
  // A stage's worker has fallen silent: those who would take over get ready.
  void GetReadyForLoss(Hosted& hosted, partition::InstancePlan plan);
  bool HasSuspect(const Hosted& hosted) const;
  void Begin(Hosted& hosted, partition::InstancePlan plan);
  void Begun(Hosted& hosted);
  // Of a device's speed, that is there for this cluster's work.
  double ShareOf(const partition::DeviceProfile& device) const;
  void LetGo();
  void OnLinkLost(const wire::WorkerId& from, const wire::LinkLost& lost);
  void OnCopyEnded(const wire::WorkerId& from, const wire::CopyEnded& ended);
  Hosted* Find(model::InstanceId instance);
  const Hosted* Find(model::InstanceId instance) const;
  // That the workers of its stages speak a protocol that can do `what`.
  absl::Status CheckWorkers(const Instance& instance, int32_t minor, std::string_view what) const;
  void Changed();
  absl::Duration now() const { return executor_.clock().SinceStart(); }

  const CoordinatorOptions options_;
  Executor& executor_;
  Executor& planner_;
  wire::LinkAcceptor& weights_;
  Membership membership_;
  MetricsRelay metrics_relay_;
  std::map<model::InstanceId, std::unique_ptr<Hosted>> instances_;
  model::InstanceId next_instance_ = 1;
  std::map<std::string, Slowdown> slowdowns_;  // by device
  wire::WorkerId own_worker_;                  // empty: none
  Timer planning_;
  absl::Duration planning_due_;
  std::set<model::InstanceId> to_plan_;
  bool thinking_ = false;  // about one of them
  Counters counters_;
  std::function<void()> changed_;
  StepObserver stepped_;
  bool telling_ = false;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
