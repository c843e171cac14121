#include "worker/worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace potluck::worker {
namespace {

wire::Peer CoordinatorPeer(const WorkerOptions& options) {
  return {.worker = wire::kCoordinator,
          .name = "the coordinator",
          .addresses = options.coordinator_addresses};
}

// A Prepare that comes after its Release is known by its number; those of instances long gone are
// not kept for ever.
constexpr size_t kMostReleased = 1024;
// Of who leaves, with a link that has broken.
constexpr absl::Duration kLeavingWithoutCoordinator = absl::Seconds(2);
constexpr absl::Duration kAddressWatch = absl::Seconds(10);

std::string Who(const WorkerOptions& options) {
  return options.hello.name.empty() ? options.hello.worker : options.hello.name;
}

}  // namespace

Worker::Worker(WorkerOptions options, WorkerEvents events, Executor& executor,
               wire::Transport& transport, StageLoader& loader, wire::LinkAcceptor* weights)
    : options_(std::move(options)),
      events_(std::move(events)),
      executor_(executor),
      loader_(loader),
      weights_(weights),
      control_(CoordinatorPeer(options_), options_.hello.version, executor, transport,
               options_.seed, *this),
      data_links_(options_.hello.worker, options_.hello.version, executor, transport,
                  options_.seed + 1, *this),
      drain_(executor),
      address_watch_(executor),
      retired_(executor) {}

Worker::~Worker() = default;

void Worker::Start() { control_.Dial(); }

void Worker::Leave() {
  if (left_) return;
  const bool hurry = std::exchange(leaving_, true);
  const bool told = control_.Tell(wire::Leaving{.hurry = hurry});
  if (hurry || !told) {  // again, or there is nobody to wait for
    FinishLeaving();
    return;
  }
  drained_by_ = executor_.clock().SinceStart() + options_.drain_timeout;
  Drain(options_.drain_timeout);
}

void Worker::Drain(absl::Duration patience) {
  drain_.Start(std::min(patience, drained_by_ - executor_.clock().SinceStart()), [this] {
    Tell(wire::Leaving{.hurry = true});
    FinishLeaving();
  });
}

void Worker::FinishLeaving() {
  if (std::exchange(left_, true)) return;
  drain_.Cancel();
  address_watch_.Cancel();
  control_.Close(absl::UnavailableError("the worker has left"));
  data_links_.SetWanted({});
  if (events_.left) executor_.Post([left = events_.left] { left(); });
}

void Worker::Pause(bool paused) {
  paused_ = paused;
  Tell(wire::Pausing{.paused = paused});
}

wire::LinkHandler& Worker::OnLink(wire::LinkKind kind, std::unique_ptr<wire::Link> link) {
  if (kind == wire::LinkKind::kData && !left_) return data_links_.Accept(std::move(link));
  if (kind == wire::LinkKind::kWeights && weights_ != nullptr)
    return weights_->OnLink(kind, std::move(link));
  link->Close(absl::UnimplementedError("this worker takes no such links"));
  retired_.Add(std::move(link));
  return refused_;
}

// ---- control link ----

wire::WorkerHello Worker::MakeHello() {
  wire::WorkerHello hello = options_.hello;
  if (options_.addresses) hello.addresses = told_addresses_ = options_.addresses();
  if (!options_.machine_state) return hello;
  const MachineState state = options_.machine_state();
  hello.disk_free_bytes = state.disk_free_bytes;
  const size_t known = std::min(hello.devices.size(), state.free_memory_bytes.size());
  for (size_t i = 0; i < known; ++i)
    hello.devices[i].free_memory_bytes = state.free_memory_bytes[i];
  const size_t held = std::min(hello.devices.size(), state.held_memory_bytes.size());
  for (size_t i = 0; i < held; ++i) hello.devices[i].held_memory_bytes = state.held_memory_bytes[i];
  return hello;
}

wire::Heartbeat Worker::MakeHeartbeat() {
  wire::Heartbeat heartbeat;
  if (options_.machine_state) {
    MachineState state = options_.machine_state();
    heartbeat.load = state.load;
    heartbeat.own_load = state.own_load;
    heartbeat.free_memory_bytes = std::move(state.free_memory_bytes);
    heartbeat.held_memory_bytes = std::move(state.held_memory_bytes);
    heartbeat.disk_free_bytes = state.disk_free_bytes;
  }
  if (options_.traffic) heartbeat.traffic = options_.traffic();
  for (const auto& [id, instance] : instances_) {
    const auto report = instance->Report();
    heartbeat.stages.insert(heartbeat.stages.end(), report.begin(), report.end());
  }
  return heartbeat;
}

void Worker::OnWelcome(const wire::Welcome& welcome) {
  UpdateLinks();
  if (options_.addresses) WatchAddresses();
  if (paused_) Tell(wire::Pausing{.paused = *paused_});
  if (leaving_) {
    Tell(wire::Leaving{.hurry = false});
    Drain(options_.drain_timeout);
  }
  if (events_.joined) events_.joined(welcome);
}

// Others would go on dialling where this machine was.
void Worker::WatchAddresses() {
  address_watch_.Start(kAddressWatch, [this] {
    if (options_.addresses() == told_addresses_) return WatchAddresses();
    control_.Redial(absl::UnavailableError("this machine's address has changed"));
  });
}

void Worker::OnHeartbeatAnswered(absl::Duration round_trip) {
  if (events_.heartbeat_answered) events_.heartbeat_answered(round_trip);
}

void Worker::OnControlLost(const absl::Status& why, bool welcomed) {
  UpdateLinks();
  // A whole home may be on its way down: without a coordinator nobody's answers wait for this one.
  if (leaving_ && !left_ && welcomed) Drain(kLeavingWithoutCoordinator);
  if (events_.lost) events_.lost(why, welcomed);
}

absl::Status Worker::OnControl(wire::Message message) {
  if (const auto* prepare = std::get_if<wire::Prepare>(&message)) return Prepare(*prepare);
  if (const auto* fence = std::get_if<wire::Fence>(&message)) {
    Fence(*fence);
  } else if (const auto* commit = std::get_if<wire::Commit>(&message)) {
    Commit(*commit);
  } else if (const auto* release = std::get_if<wire::Release>(&message)) {
    Release(*release);
  } else if (const auto* measure = std::get_if<wire::MeasureLink>(&message)) {
    return Measure(measure->peer);
  } else if (const auto* copy = std::get_if<wire::KeepCopy>(&message)) {
    KeepCopy(*copy);
  } else if (const auto* request = std::get_if<wire::MetricsRequest>(&message)) {
    TellMetrics(*request);
  } else if (std::holds_alternative<wire::MayLeave>(message)) {
    if (leaving_) FinishLeaving();
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "message ", message.index(), " does not belong on a control link to a worker"));
  }
  return absl::OkStatus();
}

Instance* Worker::Find(model::InstanceId id) {
  const auto found = instances_.find(id);
  return found == instances_.end() ? nullptr : found->second.get();
}

absl::Status Worker::Prepare(const wire::Prepare& plan) {
  const auto released = released_.find(plan.instance);
  if (released != released_.end() && plan.epoch <= released->second) return absl::OkStatus();
  Instance* instance = Find(plan.instance);
  if (instance == nullptr) {
    if (instances_.size() >= kMostInstances) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than ", kMostInstances, " instances on one worker"));
    }
    const Instance::Surroundings surroundings{
        .who = Who(options_), .executor = executor_, .host = *this, .loader = loader_};
    instance =
        (instances_[plan.instance] = std::make_shared<Instance>(plan.instance, surroundings)).get();
  }
  instance->Prepare(plan);
  UpdateLinks();
  return absl::OkStatus();
}

void Worker::Fence(const wire::Fence& fence) {
  if (Instance* instance = Find(fence.instance)) {
    instance->Fence(fence);
  } else {  // nothing of it runs here
    Tell(wire::Fenced{.instance = fence.instance, .epoch = fence.epoch});
  }
}

void Worker::Commit(const wire::Commit& commit) {
  if (Instance* instance = Find(commit.instance)) {
    instance->Commit(commit);
    UpdateLinks();
    return;
  }
  Tell(wire::Committed{.instance = commit.instance,
                       .epoch = commit.epoch,
                       .stage = 0,
                       .status = absl::FailedPreconditionError(
                           absl::StrCat("instance ", commit.instance, " is not here")),
                       .held = {}});
}

void Worker::Release(const wire::Release& release) {
  model::Epoch& released = released_[release.instance];
  released = std::max(released, release.epoch);
  if (released_.size() > kMostReleased) released_.erase(released_.begin());
  const auto found = instances_.find(release.instance);
  if (found == instances_.end()) return;
  if (found->second->Release(release.epoch)) {
    num_dropped_frames_ += found->second->num_dropped_frames();
    instances_.erase(found);
  }
  UpdateLinks();
}

void Worker::KeepCopy(const wire::KeepCopy& copy) {
  if (!events_.keep_copy) return;
  events_.keep_copy(copy, [this, alive = std::weak_ptr(alive_), manifest = copy.manifest,
                           range = copy.range](absl::Status status) {
    if (alive.expired()) return;
    Tell(wire::CopyEnded{.manifest = manifest, .range = range, .status = std::move(status)});
  });
}

void Worker::TellMetrics(const wire::MetricsRequest& request) {
  if (!events_.tell_metrics) return;
  events_.tell_metrics(
      [this, alive = std::weak_ptr(alive_), number = request.number](std::string text) {
        if (!alive.expired()) Tell(wire::MetricsReply{.number = number, .text = std::move(text)});
      });
}

absl::Status Worker::Measure(const wire::Peer& peer) {
  if (measuring_.contains(peer.worker)) return absl::OkStatus();
  if (measuring_.size() >= kMostMeasurements) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", kMostMeasurements, " links to measure at once"));
  }
  Measuring& started = measuring_[peer.worker];
  started.peer = peer;
  started.measurement = std::make_unique<LinkMeasurement>(
      peer.worker, executor_,
      [this, route = Route{peer.worker, true}](wire::Ping ping) {
        return data_links_.Send(route, std::move(ping));
      },
      [this](wire::LinkMeasured result) { OnMeasured(std::move(result)); });
  UpdateLinks();
  started.measurement->Start();
  return absl::OkStatus();
}

void Worker::OnMeasured(wire::LinkMeasured result) {
  const auto found = measuring_.find(result.peer);
  retired_.Add(std::move(found->second.measurement));  // it is in the midst of a call
  measuring_.erase(found);
  Tell(std::move(result));
  UpdateLinks();
}

// ---- data links ----

void Worker::UpdateLinks() {
  if (left_) return;
  std::vector<wire::Peer> wanted;
  if (control_.joined()) wanted.push_back(CoordinatorPeer(options_));
  for (const auto& [id, instance] : instances_) {
    for (wire::Peer& peer : instance->PeersToDial()) wanted.push_back(std::move(peer));
  }
  for (const auto& [id, measuring] : measuring_) wanted.push_back(measuring.peer);
  data_links_.SetWanted(wanted);
}

absl::Status Worker::OnFrame(const Route& from, wire::StageFrame frame) {
  Instance* instance = Find(frame.step.instance);
  if (instance != nullptr) return instance->Take(from, std::move(frame));
  ++num_dropped_frames_;  // released, or of a process before this one
  return absl::OkStatus();
}

void Worker::OnPong(const Route& from, const wire::Ping& pong) {
  const auto found = measuring_.find(from.peer);
  if (found != measuring_.end() && from.dialled) found->second.measurement->OnPong(pong);
}

void Worker::OnWritable(const Route& route) {
  for (const auto& [id, instance] : instances_) instance->OnWritable(route);
}

void Worker::OnLinkLost(const Route& route, const absl::Status& why) {
  const auto measured = measuring_.find(route.peer);
  if (measured != measuring_.end() && route.dialled) measured->second.measurement->OnLost(why);
  // The coordinator sees its own; a neighbour that needs the link no more says goodbye.
  if (route == CoordinatorRoute() || why.ok()) return;
  for (const auto& [id, instance] : instances_) {
    const std::vector<Route> routes = instance->Routes();
    if (std::ranges::find(routes, route) != routes.end())
      Tell(wire::LinkLost{.instance = id, .peer = route.peer, .status = why});
  }
}

int64_t Worker::num_dropped_frames() const {
  int64_t dropped = num_dropped_frames_;
  for (const auto& [id, instance] : instances_) dropped += instance->num_dropped_frames();
  return dropped;
}

// ---- stages ----

void Worker::Tell(wire::Message message) { control_.Tell(std::move(message)); }

void Worker::SendResult(wire::StepResult result) {
  data_links_.Send(CoordinatorRoute(), std::move(result));
}

Sent Worker::Forward(const wire::Hop& next, wire::StageFrame frame) {
  if (next.peer.worker != options_.hello.worker)
    return data_links_.Send(RouteOf(next, false), std::move(frame));
  const auto found = instances_.find(frame.step.instance);
  if (found == instances_.end() || !found->second->HoldsNextOf(frame)) return Sent::kNoLink;
  executor_.Post([weak = std::weak_ptr(found->second), local = std::move(frame)]() mutable {
    if (const auto instance = weak.lock()) instance->TakeFromNeighbour(std::move(local));
  });
  return Sent::kYes;
}

}  // namespace potluck::worker
