#include "coordinator/coordinator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "wire/version.h"

namespace potluck::coordinator {
namespace {

// Devices that are switched on together join within this of each other: one plan for all of them.
constexpr absl::Duration kJoinTogether = absl::Milliseconds(500);
// A worker that could not do its part is asked again after so long.
constexpr absl::Duration kShun = absl::Seconds(30);
// The same plan again after an epoch has failed: at once at first, then with more and more time.
constexpr absl::Duration kRetryAfter = absl::Milliseconds(100);
constexpr int kMostDoublings = 6;
// A request that makes a step fail is given up after two: who fails more, without a token between
// them, is not fit for its layers.
constexpr int kMostFailedSteps = 5;
constexpr int kCertainty = 4;  // a failed step that is surely its worker's counts so many times
constexpr absl::Duration kSteady = absl::Seconds(30);
// Both ends of a broken link are often heard of in turn, for one of them has died.
constexpr absl::Duration kWhoDied = absl::Milliseconds(300);

}  // namespace

Coordinator::Coordinator(CoordinatorOptions options, Executor& executor, Executor& planner,
                         wire::LinkAcceptor& weights)
    : options_(std::move(options)),
      executor_(executor),
      planner_(planner),
      weights_(weights),
      membership_({options_.version, options_.term, options_.cluster, options_.known_workers},
                  executor, *this),
      metrics_relay_(executor,
                     [this](const wire::WorkerId& worker, wire::Message message) {
                       return membership_.SendControl(worker, std::move(message));
                     }),
      planning_(executor) {}

Coordinator::~Coordinator() = default;

wire::LinkHandler& Coordinator::OnLink(wire::LinkKind kind, std::unique_ptr<wire::Link> link) {
  if (kind == wire::LinkKind::kWeights) return weights_.OnLink(kind, std::move(link));
  return membership_.Accept(kind, std::move(link));
}

Coordinator::Hosted* Coordinator::Find(model::InstanceId instance) {
  const auto found = instances_.find(instance);
  return found == instances_.end() ? nullptr : found->second.get();
}

const Coordinator::Hosted* Coordinator::Find(model::InstanceId instance) const {
  const auto found = instances_.find(instance);
  return found == instances_.end() ? nullptr : found->second.get();
}

// Tells the observer once, however much has changed in this task.
void Coordinator::Changed() {
  if (!changed_ || std::exchange(telling_, true)) return;
  executor_.Post([this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    telling_ = false;
    changed_();
  });
}

// --- Instances and requests ----------------------------------------------------------------------

absl::StatusOr<model::InstanceId> Coordinator::Load(InstanceModel model,
                                                    partition::InstanceWish wish) {
  const model::InstanceId id = next_instance_;
  model.id = model.scheduled.instance = id;
  wish.id = absl::StrCat(id);
  POTLUCK_RETURN_IF_ERROR(partition::CheckWish(wish));
  auto hosted = std::make_unique<Hosted>(std::move(model), std::move(wish), executor_,
                                         static_cast<InstanceHost&>(*this));
  hosted->loaded_at = now();
  hosted->trouble = absl::UnavailableError("the model is about to be loaded");
  instances_.emplace(id, std::move(hosted));
  ++next_instance_;
  PlanSoon();
  return id;
}

absl::Status Coordinator::Unload(model::InstanceId instance) {
  Hosted* hosted = Find(instance);
  if (hosted == nullptr)
    return absl::NotFoundError(absl::StrCat("there is no instance ", instance));
  hosted->instance.Release(options_.term);
  counters_.requests_resumed += hosted->instance.scheduler().counters().requests_resumed;
  const std::map<model::SequenceId, RequestEvents*> requests = std::move(hosted->requests);
  // It may be in the midst of a call.
  executor_.Post([gone = std::move(instances_[instance])] {});
  instances_.erase(instance);
  for (const auto& [sequence, events] : requests)
    events->OnFailed(absl::UnavailableError("the model was unloaded"));
  PlanSoon();
  Changed();
  return absl::OkStatus();
}

absl::Status Coordinator::CheckWorkers(const Instance& instance, int32_t minor,
                                       std::string_view what) const {
  for (const Pipeline* pipeline : {instance.pipeline(), instance.target()}) {
    if (pipeline == nullptr) continue;
    for (const partition::StagePlan& stage : pipeline->plan.stages) {
      const Member* member = membership_.Find(stage.worker_id);
      if (member == nullptr || member->hello.version.minor >= minor) continue;
      return absl::FailedPreconditionError(absl::StrCat("the worker \"", member->hello.name,
                                                        "\" is too old to ", ToAbsl(what),
                                                        ": update potluck there"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Coordinator::RequestId> Coordinator::Submit(model::InstanceId instance,
                                                           SequenceRequest request,
                                                           RequestEvents& events) {
  Hosted* hosted = Find(instance);
  if (hosted == nullptr)
    return absl::NotFoundError(absl::StrCat("there is no instance ", instance));
  // Between two plans it waits for the next one.
  if (hosted->epochs == 0 ? hosted->instance.target() == nullptr : hosted->planless)
    return hosted->trouble;
  // An older worker would leave the grammar alone.
  if (!request.sampling.grammar.empty())
    POTLUCK_RETURN_IF_ERROR(
        CheckWorkers(hosted->instance, wire::kMinorWithGrammars, "keep to a grammar"));
  if (request.rows_from.has_value())
    POTLUCK_RETURN_IF_ERROR(
        CheckWorkers(hosted->instance, wire::kMinorWithHiddenRows, "embed a text"));
  POTLUCK_ASSIGN_OR_RETURN(const model::SequenceId sequence,
                           hosted->instance.Submit(std::move(request)));
  hosted->requests[sequence] = &events;
  return RequestId{instance, sequence};
}

void Coordinator::Cancel(const RequestId& request) {
  Hosted* hosted = Find(request.instance);
  if (hosted == nullptr || hosted->requests.erase(request.sequence) == 0) return;
  hosted->instance.Cancel(request.sequence);
}

void Coordinator::Stop(const RequestId& request) {
  Hosted* hosted = Find(request.instance);
  if (hosted != nullptr && hosted->requests.contains(request.sequence))
    hosted->instance.Stop(request.sequence);
}

void Coordinator::SetReaderPaused(const RequestId& request, bool paused) {
  Hosted* hosted = Find(request.instance);
  if (hosted != nullptr && hosted->requests.contains(request.sequence))
    hosted->instance.SetReaderPaused(request.sequence, paused);
}

// Told in a task of their own, so that whoever hears of them may call anything.
void Coordinator::OnEvents(model::InstanceId instance, std::vector<SchedulerEvent> events) {
  if (events.empty()) return;
  executor_.Post([this, alive = std::weak_ptr(alive_), instance, events = std::move(events)] {
    for (const SchedulerEvent& event : events) {
      if (alive.expired()) return;
      Hosted* hosted = Find(instance);
      if (hosted == nullptr) return;
      const auto found = hosted->requests.find(event.sequence);
      if (found == hosted->requests.end()) continue;
      RequestEvents& request = *found->second;
      if (event.kind == SchedulerEvent::Kind::kToken) {
        request.OnToken(event.token, event.logprobs);
        continue;
      }
      if (event.kind == SchedulerEvent::Kind::kRows) {
        request.OnRows(event.rows);
        continue;
      }
      if (event.kind == SchedulerEvent::Kind::kProgress) {
        request.OnProgress(event);
        continue;
      }
      hosted->requests.erase(found);
      if (event.kind == SchedulerEvent::Kind::kFailed) {
        request.OnFailed(event.status);
      } else {
        request.OnFinished(event);
      }
    }
  });
}

void Coordinator::OnStep(model::InstanceId instance, std::span<const wire::StageTiming> timings,
                         absl::Duration took) {
  const Hosted* hosted = Find(instance);
  if (hosted != nullptr && stepped_) stepped_(hosted->instance, timings, took);
}

std::vector<const Instance*> Coordinator::instances() const {
  std::vector<const Instance*> instances;
  for (const auto& [id, hosted] : instances_) instances.push_back(&hosted->instance);
  return instances;
}

absl::Status Coordinator::TroubleOf(model::InstanceId instance) const {
  const Hosted* hosted = Find(instance);
  if (hosted == nullptr) return absl::NotFoundError("there is no such instance");
  return hosted->instance.serving() ? absl::OkStatus() : hosted->trouble;
}

// --- What members say ----------------------------------------------------------------------------

void Coordinator::OnMembersChanged() {
  bool suspects = false;
  for (const auto& [id, hosted] : instances_) {
    if (HasSuspect(*hosted)) {
      suspects = true;
    } else {
      hosted->instance.EndHold();
    }
  }
  PlanSoon(suspects ? absl::ZeroDuration() : kJoinTogether);
  Changed();
}

void Coordinator::OnMemberLost(const wire::WorkerId& worker, bool in_order) {
  if (!in_order) ++counters_.workers_lost;
  metrics_relay_.OnLost(worker);
  for (const auto& [id, hosted] : instances_) {
    hosted->copies.Forget(worker);
    const bool held = hosted->instance.holds();
    hosted->instance.OnWorkerLost(worker);
    if (held && hosted->instance.target() != nullptr && !hosted->instance.holds())
      ++counters_.replans;
  }
  PlanSoon();
  Changed();
}

// A worker that was away when its stages were released still has them.
void Coordinator::OnHeartbeat(const wire::WorkerId& from, const wire::Heartbeat& heartbeat) {
  for (const auto& [id, hosted] : instances_) {
    WatchPace(*hosted);
    if (hosted->instance.ready()) KeepCopies(*hosted);
  }
  for (const wire::Heartbeat::Stage& stage : heartbeat.stages) {
    const Hosted* hosted = Find(stage.instance);
    if (hosted != nullptr && !hosted->instance.IsStray(from, stage.epoch)) continue;
    SendControl(from, wire::Release{.instance = stage.instance, .epoch = stage.epoch});
  }
}

absl::Status Coordinator::OnInstanceMessage(const wire::WorkerId& from, wire::Message message) {
  const auto instance_of = [this](model::InstanceId id) -> Instance* {
    Hosted* hosted = Find(id);
    return hosted == nullptr ? nullptr : &hosted->instance;
  };
  // What an instance that is gone would have been told comes too late, no more.
  if (const auto* progress = std::get_if<wire::PrepareProgress>(&message)) {
    if (Instance* instance = instance_of(progress->instance)) instance->OnProgress(from, *progress);
  } else if (const auto* prepared = std::get_if<wire::Prepared>(&message)) {
    if (Instance* instance = instance_of(prepared->instance)) instance->OnPrepared(from, *prepared);
  } else if (const auto* fenced = std::get_if<wire::Fenced>(&message)) {
    if (Instance* instance = instance_of(fenced->instance)) instance->OnFenced(from, *fenced);
  } else if (auto* committed = std::get_if<wire::Committed>(&message)) {
    if (Instance* instance = instance_of(committed->instance))
      instance->OnCommitted(from, std::move(*committed));
  } else if (const auto* lost = std::get_if<wire::LinkLost>(&message)) {
    OnLinkLost(from, *lost);
  } else if (const auto* ended = std::get_if<wire::CopyEnded>(&message)) {
    OnCopyEnded(from, *ended);
  } else if (auto* metrics = std::get_if<wire::MetricsReply>(&message)) {
    metrics_relay_.OnReply(from, std::move(*metrics));
  }
  return absl::OkStatus();
}

void Coordinator::AskMetrics(const wire::WorkerId& worker, MetricsRelay::Done done) {
  const Member* member = membership_.Find(worker);
  if (member != nullptr && member->connected() &&
      member->hello.version.minor < wire::kMinorWithMetrics)
    return done(absl::FailedPreconditionError(absl::StrCat(
        "worker ", member->hello.name, " is too old to tell its metrics here: update it")));
  metrics_relay_.Ask(worker, std::move(done));
}

absl::Status Coordinator::OnDataMessage(const wire::WorkerId& from, wire::Message message) {
  if (auto* result = std::get_if<wire::StepResult>(&message)) {
    Hosted* hosted = Find(result->instance);
    return hosted == nullptr ? absl::OkStatus()
                             : hosted->instance.OnResult(from, std::move(*result));
  }
  auto& frame = std::get<wire::StageFrame>(message);
  Hosted* hosted = Find(frame.step.instance);
  return hosted == nullptr ? absl::OkStatus() : hosted->instance.Relay(from, std::move(frame));
}

// A link between two workers broke. Where both go on living, there is no such way any more: the
// other direction is tried, then the coordinator relays.
void Coordinator::OnLinkLost(const wire::WorkerId& from, const wire::LinkLost& lost) {
  const auto processes = [this, from, peer = lost.peer] {
    const Member* one = membership_.Find(from);
    const Member* other = membership_.Find(peer);
    return std::pair(one != nullptr ? one->hello.process : 0,
                     other != nullptr ? other->hello.process : 0);
  };
  executor_.PostAfter(kWhoDied, [this, alive = std::weak_ptr(alive_), from, lost, processes,
                                 told_of = processes()] {
    if (alive.expired() || !IsConnected(from) || !IsConnected(lost.peer)) return;
    if (processes() != told_of) return;  // one of them did die, and is back
    Log(LogLevel::kWarning, "link lost",
        {{"from", from}, {"to", lost.peer}, {"status", lost.status}});
    membership_.MarkUnreachable(from, lost.peer);
    Hosted* hosted = Find(lost.instance);
    if (hosted != nullptr && hosted->instance.serving() && hosted->instance.Uses(from) &&
        hosted->instance.Uses(lost.peer))
      hosted->instance.FailEpoch(lost.status);
  });
}

void Coordinator::OnCopyEnded(const wire::WorkerId& from, const wire::CopyEnded& ended) {
  const LayersAt copy = {from, ended.range.first_cut / 2, ended.range.last_cut / 2 - 1};
  for (const auto& [id, hosted] : instances_) {
    if (hosted->instance.model().manifest != ended.manifest ||
        !hosted->copies.OnEnded(copy, ended.status, now()))
      continue;
    if (!ended.status.ok()) {
      Log(LogLevel::kWarning, "standby cannot keep a copy",
          {{"instance", id}, {"worker", from}, {"status", ended.status}});
      PlanLater(StandbyCopies::kTryAgain);
    }
    PlanSoon();
  }
}

// --- InstanceHost --------------------------------------------------------------------------------

bool Coordinator::SendControl(const wire::WorkerId& worker, wire::Message message) {
  return membership_.SendControl(worker, std::move(message));
}

bool Coordinator::SendData(const wire::WorkerId& worker, wire::Message message) {
  return membership_.SendData(worker, std::move(message));
}

bool Coordinator::IsConnected(const wire::WorkerId& worker) const {
  const Member* member = membership_.Find(worker);
  return member != nullptr && member->connected();
}

wire::Peer Coordinator::PeerOf(const wire::WorkerId& worker) const {
  return membership_.PeerOf(worker);
}

wire::HopKind Coordinator::HopBetween(const wire::WorkerId& from, const wire::WorkerId& to) const {
  return membership_.HopBetween(from, to);
}

std::optional<wire::Heartbeat::Stage> Coordinator::ReportOf(const wire::WorkerId& worker,
                                                            model::InstanceId instance,
                                                            const model::Epoch& epoch) const {
  const Member* member = membership_.Find(worker);
  if (member == nullptr) return std::nullopt;
  std::optional<wire::Heartbeat::Stage> report;
  for (const wire::Heartbeat::Stage& stage : member->heartbeat.stages) {
    if (stage.instance != instance || stage.epoch != epoch) continue;
    if (!report || stage.last_step < report->last_step) report = stage;
  }
  return report;
}

void Coordinator::OnInstanceChanged(model::InstanceId instance) {
  Hosted* hosted = Find(instance);
  if (hosted->instance.serving()) {
    hosted->trouble = absl::OkStatus();
    hosted->no_plan.Cancel();
    hosted->gives_up_at.reset();
    hosted->planless = false;
  }
  if (hosted->instance.ready()) KeepCopies(*hosted);
  LetGo();
  PlanSoon(kJoinTogether);
  Changed();
}

void Coordinator::OnStageRefused(model::InstanceId instance, const wire::WorkerId& worker,
                                 const absl::Status& why) {
  Shun(*Find(instance), worker, "cannot take its layers", why);
  PlanSoon(kRetryAfter);
}

void Coordinator::Shun(Hosted& hosted, const wire::WorkerId& worker, std::string_view what,
                       const absl::Status& why) {
  const std::string told = absl::StrCat(ToAbsl(what), ": ", why.message());
  hosted.shunned[worker] = {now() + kShun, absl::StrCat("it ", told)};
  hosted.trouble =
      absl::UnavailableError(absl::StrCat("worker ", membership_.PeerOf(worker).name, " ", told));
  PlanLater(kShun);
  Changed();
}

void Coordinator::OnStageStuck(model::InstanceId instance, const wire::WorkerId& worker) {
  Log(LogLevel::kWarning, "no progress", {{"instance", instance}, {"worker", worker}});
  membership_.Expel(worker, absl::UnavailableError("its stage makes no progress"));
  PlanSoon();
}

// Nobody has closed the link, but nothing comes through: the coordinator relays.
void Coordinator::OnHopStuck(model::InstanceId instance, const wire::WorkerId& from,
                             const wire::WorkerId& to) {
  membership_.MarkUnreachable(from, to);
  membership_.MarkUnreachable(to, from);
  Find(instance)->instance.FailEpoch(absl::UnavailableError(
      absl::StrCat("nothing of what worker ", from, " sends reaches worker ", to)));
}

void Coordinator::OnEpochFailed(model::InstanceId instance, const wire::WorkerId& culprit,
                                const absl::Status& why) {
  Hosted* hosted = Find(instance);
  if (now() - hosted->planned_at > kSteady) hosted->failures = 0;
  const absl::Duration wait = kRetryAfter * (1 << std::min(hosted->failures, kMostDoublings));
  hosted->failures += 1;
  hosted->trouble = absl::UnavailableError(absl::StrCat("a step failed: ", why.message()));
  const SchedulerCounters& counters = hosted->instance.scheduler().counters();
  const int64_t results = counters.generated_tokens + counters.rows;
  if (std::exchange(hosted->results_at_failure, results) < results) hosted->failed_steps.clear();
  // A link has a watch of its own, and who comes after the stage that failed misses a step.
  const bool may_be_innocent = absl::IsUnavailable(why) || absl::IsFailedPrecondition(why);
  if (!culprit.empty() && (hosted->failed_steps[culprit] += may_be_innocent ? 1 : kCertainty) >=
                              kMostFailedSteps * kCertainty) {
    hosted->failed_steps.clear();
    Shun(*hosted, culprit, "fails step after step", why);
  }
  // Whoever died meanwhile is heard of by then.
  PlanSoon(wait);
  Changed();
}

}  // namespace potluck::coordinator
