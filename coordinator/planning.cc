// The coordinator's planning: when each instance needs a plan and why, what the planner is asked on
// its own thread, and what becomes of the answer.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/log.h"
#include "common/text.h"
#include "coordinator/coordinator.h"
#include "coordinator/membership/cluster_profile.h"

namespace potluck::coordinator {
namespace {

// A better plan is worth a change at most so often.
constexpr absl::Duration kImproveEvery = absl::Seconds(10);
// A stage that takes this many times as long as planned, for so long, is planned anew with the
// speed that it has; for some time its device is taken for no faster.
constexpr double kSlow = 2;
constexpr absl::Duration kSlowFor = absl::Seconds(30);
constexpr absl::Duration kSlowUntil = absl::Minutes(10);

}  // namespace

// The soonest wish counts.
void Coordinator::PlanSoon(absl::Duration delay) {
  if (planning_.running() && planning_due_ <= now() + delay) return;
  planning_due_ = now() + delay;
  planning_.Start(delay, [this] { PlanAll(); });
}

void Coordinator::PlanLater(absl::Duration delay) {
  executor_.PostAfter(delay, [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) PlanAll();
  });
}

void Coordinator::PlanAll() {
  for (const auto& [id, hosted] : instances_) to_plan_.insert(id);
  PlanNext();
  LetGo();
}

void Coordinator::PlanNext() {
  if (thinking_) return;
  Hosted* next = nullptr;
  PlanFor most = PlanFor::kNothing;
  std::erase_if(to_plan_, [&](model::InstanceId instance) {
    Hosted* hosted = Find(instance);
    const PlanFor what_for = hosted == nullptr ? PlanFor::kNothing : WhatFor(*hosted);
    if (what_for > most) {
      next = hosted;
      most = what_for;
    }
    return what_for == PlanFor::kNothing;
  });
  if (next == nullptr) return;
  to_plan_.erase(next->instance.model().id);
  Ask(*next, most);
}

std::string Coordinator::Urgency(const Hosted& hosted) const {
  const Instance& instance = hosted.instance;
  if (!instance.serving()) return "nothing serves it";
  for (const wire::WorkerId& worker : instance.pipeline()->workers()) {
    const MemberState state = membership_.StateOf(worker);
    if (state != MemberState::kReady && state != MemberState::kSuspect &&
        state != MemberState::kJoining)
      return absl::StrCat("worker ", worker, " is ", ToAbsl(ToString(state)));
  }
  return "";
}

Coordinator::Wait Coordinator::WaitOf(const Hosted& hosted) const {
  if (hosted.epochs > 0) return {};
  // Waiting changes nothing where somebody who fits can be used, or is known not to be for long.
  const auto is_settled = [&](const auto& fits) {
    return std::ranges::any_of(membership_.members(), [&](const auto& entry) {
      return fits(entry.second) &&
             (entry.second.state(now()) == MemberState::kReady || entry.second.set_aside(now()));
    });
  };
  const auto is_of = [](const Member& member, const std::string& device_id) {
    return device_id.starts_with(DeviceId(member.hello.worker, ""));
  };
  Wait wait;
  const auto wait_for = [&](const std::string& name, absl::Duration longest) {
    wait.until = std::max(wait.until, hosted.loaded_at + longest);
    if (hosted.loaded_at + longest > now()) wait.names.insert(name);
  };
  for (const partition::LayerWish& wish : hosted.wish.layers) {
    // Another machine may have the name of one that is remembered.
    const bool settled = is_settled([&](const Member& member) {
      return member.connected() && (member.hello.name == wish.name ||
                                    member.hello.worker == wish.name || is_of(member, wish.name));
    });
    if (!settled) wait_for(wish.name, options_.wait_for_workers);
  }
  for (const partition::Placement& placement : hosted.wish.previous) {
    const bool settled =
        is_settled([&](const Member& member) { return is_of(member, placement.device_id); });
    const std::string worker = placement.device_id.substr(0, placement.device_id.find('/'));
    if (!settled) wait_for(membership_.PeerOf(worker).name, options_.wait_for_return);
  }
  return wait;
}

partition::ClusterProfile Coordinator::Profile() const {
  partition::ClusterProfile profile =
      MakeClusterProfile(membership_.members(), options_.host, now());
  profile.coordinator_worker_id = own_worker_;
  for (partition::DeviceProfile& device : profile.devices) {
    const double scale = ShareOf(device) / (1 - device.load);
    for (double& rate : device.decode_bytes_per_second) rate *= scale;
    for (double& rate : device.prefill_operations_per_second) rate *= scale;
  }
  return profile;
}

double Coordinator::ShareOf(const partition::DeviceProfile& device) const {
  const double idle = 1 - device.load;
  const auto slowdown = slowdowns_.find(device.id);
  if (slowdown == slowdowns_.end() || slowdown->second.until < now()) return idle;
  return std::min(idle, slowdown->second.share);
}

// A stage that stays far behind its plan: the plan is made again with the speed that it has.
void Coordinator::WatchPace(Hosted& hosted) {
  const Instance& instance = hosted.instance;
  const InstanceScheduler& scheduler = instance.scheduler();
  const int64_t steps = scheduler.counters().steps;
  const bool works = steps > std::exchange(hosted.watched_steps, steps);
  if (!instance.ready() || instance.target() != nullptr ||
      (!works && scheduler.num_in_flight() == 0)) {
    hosted.slow_since.clear();
    return;
  }
  const std::span<const double> slowness = scheduler.pace().slowness();
  for (size_t stage = 0; stage < slowness.size(); ++stage) {
    if (slowness[stage] < kSlow) {
      hosted.slow_since.erase(stage);
      continue;
    }
    const absl::Duration since = hosted.slow_since.try_emplace(stage, now()).first->second;
    if (now() - since < kSlowFor) continue;
    hosted.slow_since[stage] = now();
    const std::string& device = instance.pipeline()->plan.stages[stage].device_id;
    const auto planned = hosted.planned_share.find(device);
    const double share = planned == hosted.planned_share.end() ? 1 : planned->second;
    slowdowns_[device] = {share / slowness[stage], now() + kSlowUntil};
    Log(LogLevel::kWarning, "stage slower than planned",
        {{"instance", instance.model().id}, {"device", device}, {"times", slowness[stage]}});
    PlanSoon();
  }
}

partition::ClusterProfile Coordinator::ProfileFor(const Hosted& hosted) const {
  partition::ClusterProfile profile = Profile();
  for (partition::DeviceProfile& device : profile.devices) {
    const auto shunned = hosted.shunned.find(device.worker_id);
    if (shunned == hosted.shunned.end() || shunned->second.until <= now()) continue;
    device.availability = partition::Availability::kResting;
    device.reason = shunned->second.why;
  }
  return profile;
}

partition::Occupancy Coordinator::OccupiedByOthers(const Hosted* hosted) const {
  partition::Occupancy occupancy;
  for (const auto& [id, other] : instances_) {
    if (other.get() == hosted) continue;
    const Instance& instance = other->instance;
    if (instance.target() != nullptr)
      partition::Occupy(WishOf(*other), instance.target()->plan.placements(), occupancy);
    else if (instance.serving())
      partition::Occupy(WishOf(*other), instance.pipeline()->plan.placements(), occupancy);
  }
  return occupancy;
}

partition::InstanceWish Coordinator::WishOf(const Hosted& hosted) const {
  partition::InstanceWish wish = hosted.wish;
  const Pipeline* pipeline = hosted.instance.pipeline();
  if (pipeline == nullptr) return wish;
  wish.previous = pipeline->plan.placements();
  // A running text keeps its context.
  wish.context_length = pipeline->plan.context_length;
  for (const partition::StagePlan& stage : pipeline->plan.stages)
    wish.cached.push_back({stage.worker_id, stage.first_layer, stage.last_layer + 1});
  wish.standing_by = hosted.copies.Known(now());
  return wish;
}

Coordinator::PlanFor Coordinator::WhatFor(Hosted& hosted) {
  if (hosted.instance.target() != nullptr) return PlanFor::kNothing;
  if (Urgency(hosted).empty()) {
    if (HasSuspect(hosted)) return PlanFor::kLoss;  // it is heard from or lost soon
    return PlanFor::kImprovement;
  }
  const Wait wait = WaitOf(hosted);
  if (now() >= wait.until) return PlanFor::kService;
  hosted.trouble = absl::UnavailableError(
      absl::StrCat("waiting for the workers that are to hold it: ", absl::StrJoin(wait.names, ", "),
                   wait.names.size() == 1 ? " is" : " are", " not here yet"));
  PlanSoon(wait.until - now());
  return PlanFor::kNothing;
}

void Coordinator::Ask(const Hosted& hosted, PlanFor what_for) {
  thinking_ = true;
  planner_.Post([this, &executor = executor_, alive = std::weak_ptr(alive_), what_for,
                 id = hosted.instance.model().id, question = QuestionOf(hosted)] {
    executor.Post([this, alive, what_for, id, plan = MakePlan(question)]() mutable {
      if (!alive.expired()) OnPlan(id, what_for, std::move(plan));
    });
  });
}

bool Coordinator::AllReady(const partition::InstancePlan& plan) const {
  return std::ranges::all_of(plan.stages, [&](const partition::StagePlan& stage) {
    return membership_.StateOf(stage.worker_id) == MemberState::kReady;
  });
}

void Coordinator::OnPlan(model::InstanceId instance, PlanFor what_for,
                         absl::StatusOr<partition::InstancePlan> plan) {
  thinking_ = false;
  Hosted* hosted = Find(instance);
  // What has become of it meanwhile?
  const PlanFor now_for = hosted == nullptr ? PlanFor::kNothing : WhatFor(*hosted);
  if (now_for != PlanFor::kNothing && (now_for != what_for || (plan.ok() && !AllReady(*plan)))) {
    to_plan_.insert(instance);
  } else if (now_for == PlanFor::kLoss) {
    if (plan.ok()) GetReadyForLoss(*hosted, *std::move(plan));
  } else if (now_for != PlanFor::kNothing) {
    if (plan.ok()) {
      Begin(*hosted, *std::move(plan));
    } else if (!hosted->instance.serving()) {
      CannotPlan(*hosted, plan.status());
    }
  }
  PlanNext();
}

void Coordinator::Begin(Hosted& hosted, partition::InstancePlan plan) {
  Instance& instance = hosted.instance;
  const bool stays = instance.serving() && !instance.has_leftovers() &&
                     plan.placements() == instance.pipeline()->plan.placements();
  const absl::Duration next = hosted.planned_at + kImproveEvery;
  if (Urgency(hosted).empty() && now() < next) {
    PlanSoon(next - now());
    if (!stays) return;
  }
  if (stays) {
    instance.ReleaseLeftovers();
    // Who is silent for a moment goes on standing by: it is heard from or lost soon.
    if (!HasSuspectStandby(hosted)) instance.Refresh(std::move(plan));
    if (instance.ready()) KeepCopies(hosted);
    Changed();
    return;
  }
  // The context is the first plan's for good: a running text cannot lose what it has said.
  hosted.wish.context_length = plan.context_length;
  hosted.no_plan.Cancel();
  hosted.planless = false;
  if (hosted.epochs > 0) {
    ++counters_.replans;
    if (const std::string urgency = Urgency(hosted); !urgency.empty())
      Log(LogLevel::kInfo, "plan needed", {{"instance", instance.model().id}, {"reason", urgency}});
  }
  Begun(hosted);
  for (const std::string& note : plan.notes)
    Log(LogLevel::kInfo, "note on the plan", {{"instance", instance.model().id}, {"note", note}});
  instance.Change(std::move(plan), {.term = options_.term, .number = hosted.epochs});
  Changed();
}

void Coordinator::Begun(Hosted& hosted) {
  hosted.planned_at = now();
  hosted.epochs += 1;
  hosted.copies.LookAfterAll();  // a disk may have had to give them up for the new layers
  hosted.planned_share.clear();
  for (const partition::DeviceProfile& device : Profile().devices)
    hosted.planned_share[device.id] = ShareOf(device);
}

bool Coordinator::HasSuspect(const Hosted& hosted) const {
  if (!hosted.instance.serving()) return false;
  const std::set<wire::WorkerId> workers = hosted.instance.pipeline()->workers();
  return std::ranges::any_of(workers, [&](const wire::WorkerId& worker) {
    return membership_.StateOf(worker) == MemberState::kSuspect;
  });
}

bool Coordinator::HasSuspectStandby(const Hosted& hosted) const {
  const auto is_suspect = [this](const partition::Standby& standby) {
    return membership_.StateOf(standby.worker_id) == MemberState::kSuspect;
  };
  return std::ranges::any_of(hosted.instance.pipeline()->plan.stages, [&](const auto& stage) {
    return std::ranges::any_of(stage.standby, is_suspect);
  });
}

void Coordinator::GetReadyForLoss(Hosted& hosted, partition::InstancePlan plan) {
  Instance& instance = hosted.instance;
  // Who serves now is not to load a second time for what may pass.
  const auto present = instance.pipeline()->plan.placements(), then = plan.placements();
  for (size_t stage = 0; stage < then.size(); ++stage) {
    if (instance.pipeline()->Uses(plan.stages[stage].worker_id) &&
        std::ranges::count(present, then[stage]) == 0)
      return;
  }
  Begun(hosted);
  instance.PrepareForLoss(std::move(plan), {.term = options_.term, .number = hosted.epochs});
}

PlanQuestion Coordinator::QuestionOf(const Hosted& hosted) const {
  PlanQuestion question{
      .cluster = ProfileFor(hosted), .wish = WishOf(hosted), .others = OccupiedByOthers(&hosted)};
  if (!hosted.instance.serving() || HasSuspect(hosted))
    question.preferred = WithStandbys(hosted, question);
  return question;
}

// Where it was, with a standby in the place of each device that is missing. Nothing moves where all
// are still there, or are back.
std::vector<partition::Placement> Coordinator::WithStandbys(const Hosted& hosted,
                                                            const PlanQuestion& question) {
  std::vector<partition::Placement> places = question.wish.previous;
  const Pipeline* pipeline = hosted.instance.pipeline();
  if (pipeline == nullptr) return places;
  const auto is_ready = [&](const std::string& id) {
    const auto device =
        std::ranges::find(question.cluster.devices, id, &partition::DeviceProfile::id);
    return device != question.cluster.devices.end() &&
           device->availability == partition::Availability::kReady;
  };
  for (size_t stage = 0; stage < places.size(); ++stage) {
    if (is_ready(places[stage].device_id)) continue;
    for (const partition::Standby& standby : pipeline->plan.stages[stage].standby) {
      const bool is_free = std::ranges::find(places, standby.device_id,
                                             &partition::Placement::device_id) == places.end();
      if (!is_free || !is_ready(standby.device_id)) continue;
      places[stage].device_id = standby.device_id;
      break;
    }
  }
  return places;
}

absl::StatusOr<PlanQuestion> Coordinator::QuestionOf(model::InstanceId instance) const {
  const Hosted* hosted = Find(instance);
  if (hosted == nullptr)
    return absl::NotFoundError(absl::StrCat("there is no instance ", instance));
  return QuestionOf(*hosted);
}

PlanQuestion Coordinator::QuestionFor(partition::InstanceWish wish) const {
  return {.cluster = Profile(), .wish = std::move(wish), .others = OccupiedByOthers(nullptr)};
}

void Coordinator::CannotPlan(Hosted& hosted, const absl::Status& why) {
  // What a worker has said of its layers tells more than that it is left out.
  const bool refused = std::ranges::any_of(
      hosted.shunned, [&](const auto& shunned) { return shunned.second.until > now(); });
  if (!refused || hosted.trouble.ok()) hosted.trouble = absl::UnavailableError(why.message());
  hosted.planless = true;
  if (hosted.no_plan.running()) return;
  // At a start the workers are still to come.
  Log(hosted.epochs > 0 ? LogLevel::kWarning : LogLevel::kInfo, "no plan",
      {{"instance", hosted.instance.model().id}, {"status", why}});
  // A plan that came to nothing gives no more time.
  if (!hosted.gives_up_at.has_value()) hosted.gives_up_at = now() + options_.wait_for_workers;
  const absl::Duration left = std::max(*hosted.gives_up_at - now(), absl::ZeroDuration());
  hosted.no_plan.Start(left, [&hosted] {
    hosted.instance.FailAll(absl::UnavailableError(
        absl::StrCat("the cluster lost a device and cannot hold the model without it: ",
                     hosted.trouble.message())));
    hosted.gives_up_at.reset();  // of those streams
  });
  Changed();
}

// Weights of a stage's layers go, in the background, to those who could take it over.
void Coordinator::KeepCopies(Hosted& hosted) {
  std::vector<LayersAt> copies;
  std::map<LayersAt, wire::WorkerId> holders;
  for (const partition::StagePlan& stage : hosted.instance.pipeline()->plan.stages) {
    for (const partition::Standby& standby : stage.standby) {
      copies.push_back({standby.worker_id, stage.first_layer, stage.last_layer});
      holders[copies.back()] = stage.worker_id;
    }
  }
  for (const LayersAt& due : hosted.copies.Want(copies, now())) {
    wire::KeepCopy copy{.manifest = hosted.instance.model().manifest,
                        .range = {2 * due.first_layer, 2 * (due.last_layer + 1)},
                        .sources = {}};
    if (wire::Peer source = PeerOf(holders[due]); !source.addresses.empty())
      copy.sources.push_back(std::move(source));
    SendControl(due.worker, std::move(copy));
  }
}

// Workers that want to leave and hold nothing any more.
void Coordinator::LetGo() {
  std::vector<wire::WorkerId> free;
  for (const auto& [worker, member] : membership_.members()) {
    if (!member.wants_to_leave || member.left || !member.connected()) continue;
    const auto uses = [&id = worker](const auto& entry) { return entry.second->instance.Uses(id); };
    if (std::ranges::none_of(instances_, uses)) free.push_back(worker);
  }
  for (const wire::WorkerId& worker : free) membership_.LetLeave(worker);
}

}  // namespace potluck::coordinator
