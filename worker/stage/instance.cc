#include "worker/stage/instance.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"

namespace potluck::worker {
namespace {

bool SameWork(const wire::Prepare& a, const wire::Prepare& b) {
  const auto parts = [](const wire::Prepare& plan) {
    return std::tie(plan.device, plan.manifest, plan.range.first_cut, plan.range.last_cut,
                    plan.range.shard, plan.range.num_shards, plan.context_length, plan.kv_capacity,
                    plan.max_sequences, plan.max_tokens, plan.max_outputs, plan.replay_bytes,
                    plan.kv_dtype);
  };
  return parts(a) == parts(b);
}

absl::Status CheckSizes(const wire::Prepare& plan) {
  if (plan.num_stages < 1 || plan.num_stages > Instance::kMostStages || plan.stage < 0 ||
      plan.stage >= plan.num_stages) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no stage ", plan.stage, " of ", plan.num_stages));
  }
  if (plan.range.first_cut < 0 || plan.range.last_cut <= plan.range.first_cut ||
      plan.range.shard != 0 || plan.range.num_shards != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the stage holds nothing: cut points ", plan.range.first_cut, " to ", plan.range.last_cut));
  }
  constexpr int64_t kMost = int64_t{1} << 31;
  for (const int64_t number : {plan.context_length, plan.kv_capacity, plan.max_sequences,
                               plan.max_tokens, plan.max_outputs}) {
    if (number < 1 || number > kMost)
      return absl::InvalidArgumentError(absl::StrCat("a size of ", number, " in the plan"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Instance::Check(const wire::Prepare& plan) const {
  if (plan.epoch == epoch_ && !stages_.empty()) {  // a repetition after its commit
    if (stages_.contains(plan.stage)) return absl::OkStatus();
    return absl::FailedPreconditionError("the epoch has begun without this stage");
  }
  for (const auto& [number, other] : preparing_) {
    if (plan.epoch == preparing_epoch_ && number != plan.stage && SameWork(other.plan, plan)) {
      return absl::InvalidArgumentError(
          absl::StrCat("stages ", number, " and ", plan.stage, " hold the same layers"));
    }
  }
  return CheckSizes(plan);
}

void Instance::Prepare(const wire::Prepare& plan) {
  if (Dropped(plan.epoch) || plan.epoch < preparing_epoch_) return;
  const absl::Status valid = Check(plan);
  if (!valid.ok() || (plan.epoch == epoch_ && !stages_.empty())) {
    TellPrepared({.plan = plan, .status = valid});
    return;
  }
  if (plan.epoch > preparing_epoch_) BeginPreparing(plan.epoch);
  const auto [at, is_new] = preparing_.try_emplace(plan.stage);
  Preparing& preparing = at->second;
  if (!is_new) {
    if (preparing.done) TellAgain(preparing);
    return;
  }
  preparing.plan = plan;
  if (std::shared_ptr<StageRunner> runner = TakeRunnerLike(plan)) {
    KeepRunner(preparing, std::move(runner));
  } else {
    Load(preparing);
  }
}

// What a stage that serves holds may fill those after it.
void Instance::KeepRunner(Preparing& preparing, std::shared_ptr<StageRunner> runner) {
  const bool serves = Serves(runner);
  preparing.stage = std::make_shared<HostedStage>(preparing.plan, runner, serves, around_.who,
                                                  around_.executor, around_.host);
  TellKept(preparing);
}

void Instance::TellKept(const Preparing& preparing) {
  const std::shared_ptr<StageRunner> runner = preparing.stage->runner();
  runner->ReportHeld(
      [this, weak = std::weak_ptr(preparing.stage), serves = Serves(runner)](auto held) {
        const auto stage = weak.lock();
        if (stage == nullptr) return;
        const auto found = preparing_.find(stage->plan().stage);
        if (found == preparing_.end() || found->second.stage != stage) return;
        found->second.done = true;
        if (serves) found->second.held = std::move(held);
        TellPrepared(found->second);
      });
}

// One that serves holds more by now.
void Instance::TellAgain(const Preparing& preparing) {
  if (preparing.stage != nullptr && Serves(preparing.stage->runner())) {
    TellKept(preparing);
  } else {
    TellPrepared(preparing);
  }
}

bool Instance::Serves(const std::shared_ptr<StageRunner>& runner) const {
  return std::ranges::any_of(stages_,
                             [&](const auto& entry) { return entry.second->runner() == runner; });
}

// Cancels what still loads for an epoch before; what has been loaded may serve this one.
void Instance::BeginPreparing(const model::Epoch& epoch) {
  for (auto& [number, preparing] : preparing_) {
    if (preparing.stage == nullptr) continue;
    preparing.stage->Fence([] {});
    if (!Serves(preparing.stage->runner()))
      spares_.push_back({preparing.plan, preparing.stage->runner()});
  }
  preparing_.clear();
  preparing_epoch_ = epoch;
}

std::shared_ptr<StageRunner> Instance::TakeRunnerLike(const wire::Prepare& plan) {
  for (const auto& [number, stage] : stages_) {
    if (SameWork(stage->plan(), plan)) return stage->runner();
  }
  const auto spare = std::ranges::find_if(
      spares_, [&](const Spare& candidate) { return SameWork(candidate.plan, plan); });
  if (spare == spares_.end()) return nullptr;
  std::shared_ptr<StageRunner> runner = std::move(spare->runner);
  spares_.erase(spare);
  return runner;
}

void Instance::Load(Preparing& preparing) {
  spares_.clear();  // the plan counts on their memory
  const int32_t stage = preparing.plan.stage;
  const auto on_progress = [this, stage](double fraction) {
    around_.host.Tell(wire::PrepareProgress{
        .instance = id_, .epoch = preparing_epoch_, .stage = stage, .fraction = fraction});
  };
  preparing.loading =
      around_.loader.Load(preparing.plan, on_progress,
                          [this, stage](absl::StatusOr<std::unique_ptr<StageRunner>> runner) {
                            Loaded(stage, std::move(runner));
                          });
}

void Instance::Loaded(int32_t stage, absl::StatusOr<std::unique_ptr<StageRunner>> runner) {
  Preparing& preparing = preparing_.at(stage);
  preparing.done = true;
  if (runner.ok()) {
    preparing.stage =
        std::make_shared<HostedStage>(preparing.plan, *std::move(runner), /*shared=*/false,
                                      around_.who, around_.executor, around_.host);
  } else {
    preparing.status = runner.status();
  }
  retired_.Add(std::move(preparing.loading));  // it is in the midst of a callback
  TellPrepared(preparing);
}

void Instance::TellPrepared(const Preparing& preparing) {
  around_.host.Tell(wire::Prepared{.instance = id_,
                                   .epoch = preparing.plan.epoch,
                                   .stage = preparing.plan.stage,
                                   .status = preparing.status,
                                   .held = preparing.held});
}

void Instance::Fence(const wire::Fence& fence) {
  if (Dropped(fence.epoch)) return;
  if (fence.epoch > fence_ && fence.epoch > epoch_) {
    fence_ = fence.epoch;
    unfenced_stages_ = static_cast<int>(stages_.size());
    for (const auto& [number, stage] : stages_)
      stage->Fence([this, epoch = fence_] { OnStageFenced(epoch); });
    if (!stages_.empty()) return;
  }
  if (unfenced_stages_ == 0) around_.host.Tell(wire::Fenced{.instance = id_, .epoch = fence.epoch});
}

void Instance::OnStageFenced(const model::Epoch& epoch) {
  if (epoch != fence_ || --unfenced_stages_ > 0) return;
  around_.host.Tell(wire::Fenced{.instance = id_, .epoch = epoch});
}

void Instance::Commit(const wire::Commit& commit) {
  if (Dropped(commit.epoch)) return;
  if (commit.epoch == epoch_ && !stages_.empty()) {
    for (const auto& [number, stage] : stages_) stage->Commit(commit.sequences);
    return;
  }
  const bool prepared = commit.epoch == preparing_epoch_ && !preparing_.empty() &&
                        std::ranges::all_of(preparing_, [](const auto& entry) {
                          return entry.second.stage != nullptr;
                        });
  if (!prepared) {
    const int32_t stage = preparing_.empty() ? 0 : preparing_.begin()->first;
    around_.host.Tell(
        wire::Committed{.instance = id_,
                        .epoch = commit.epoch,
                        .stage = stage,
                        .status = absl::FailedPreconditionError("the epoch was not prepared here"),
                        .held = {}});
    return;
  }
  epoch_ = fence_ = commit.epoch;
  unfenced_stages_ = 0;
  for (const auto& [number, stage] : stages_) stage->Fence([] {});
  stages_.clear();
  for (auto& [number, preparing] : preparing_) stages_[number] = std::move(preparing.stage);
  preparing_.clear();
  spares_.clear();
  for (const auto& [number, stage] : stages_) stage->Commit(commit.sequences);
}

bool Instance::Release(const model::Epoch& epoch) {
  if (epoch_ <= epoch) {
    for (const auto& [number, stage] : stages_) stage->Fence([] {});
    stages_.clear();
    unfenced_stages_ = 0;
    epoch_ = {};
  }
  fence_ = std::max(fence_, epoch);
  if (preparing_epoch_ <= epoch) preparing_.clear();
  spares_.clear();
  return stages_.empty() && preparing_.empty();
}

absl::Status Instance::Take(const Route& from, wire::StageFrame frame) {
  const model::Epoch& epoch = frame.step.epoch;
  if (Dropped(epoch) || (epoch != epoch_ && epoch < preparing_epoch_)) {
    ++num_dropped_frames_;
    return absl::OkStatus();
  }
  HostedStage* stage = StageFor(frame);
  if (stage == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("instance ", id_, " has no stage ",
                                                   StageOf(frame), " here in epoch ", epoch.term,
                                                   ".", epoch.number));
  }
  const wire::Prepare& plan = stage->plan();
  const Route previous = plan.stage == 0 ? CoordinatorRoute() : RouteOf(plan.previous, true);
  if (from != previous) {
    return absl::InvalidArgumentError(absl::StrCat("steps of instance ", id_, ", stage ",
                                                   plan.stage, " come from ", previous.peer,
                                                   ", not from ", from.peer));
  }
  stage->Take(std::move(frame));
  return absl::OkStatus();
}

HostedStage* Instance::StageFor(const wire::StageFrame& frame) const {
  const int32_t number = StageOf(frame);
  if (frame.step.epoch == epoch_) {
    const auto stage = stages_.find(number);
    if (stage != stages_.end()) return stage->second.get();
  } else if (frame.step.epoch == preparing_epoch_ && !frame.replaying.empty()) {
    const auto preparing = preparing_.find(number);
    if (preparing != preparing_.end()) return preparing->second.stage.get();
  }
  return nullptr;
}

void Instance::TakeFromNeighbour(wire::StageFrame frame) {
  if (HoldsNextOf(frame) && !Dropped(frame.step.epoch)) {
    HostedStage* const stage = StageFor(frame);
    stage->Take(std::move(frame));
  } else {
    ++num_dropped_frames_;
  }
}

std::vector<const wire::Prepare*> Instance::Plans() const {
  std::vector<const wire::Prepare*> plans;
  for (const auto& [number, stage] : stages_) plans.push_back(&stage->plan());
  for (const auto& [number, preparing] : preparing_) plans.push_back(&preparing.plan);
  return plans;
}

std::vector<Route> Instance::Routes() const {
  std::vector<Route> routes;
  for (const wire::Prepare* plan : Plans()) {
    if (plan->stage > 0) routes.push_back(RouteOf(plan->previous, true));
    if (plan->stage + 1 < plan->num_stages) routes.push_back(RouteOf(plan->next, false));
  }
  return routes;
}

std::vector<wire::Peer> Instance::PeersToDial() const {
  std::vector<wire::Peer> peers;
  for (const wire::Prepare* plan : Plans()) {
    if (plan->stage > 0 && plan->previous.kind == wire::HopKind::kDownstreamDials)
      peers.push_back(plan->previous.peer);
    if (plan->stage + 1 < plan->num_stages && plan->next.kind == wire::HopKind::kUpstreamDials)
      peers.push_back(plan->next.peer);
  }
  return peers;
}

void Instance::OnWritable(const Route& route) {
  std::vector<std::shared_ptr<HostedStage>> stages;
  for (const auto& [number, stage] : stages_) stages.push_back(stage);
  for (const auto& [number, preparing] : preparing_) {
    if (preparing.stage != nullptr) stages.push_back(preparing.stage);
  }
  for (const auto& stage : stages) {
    if (RouteOf(stage->plan().next, false) == route) stage->OnWritable();
  }
}

std::vector<wire::Heartbeat::Stage> Instance::Report() const {
  std::vector<wire::Heartbeat::Stage> report;
  for (const auto& [number, stage] : stages_) report.push_back(stage->Report());
  for (const auto& [number, preparing] : preparing_)
    report.push_back({.instance = id_, .epoch = preparing.plan.epoch});
  return report;
}

}  // namespace potluck::worker
