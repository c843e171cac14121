// Workers with pretended stages and a coordinator that says what a test has it say, in one process.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/simulated_executor.h"
#include "tests/worker/pretend_stage.h"
#include "wire/memory/memory_network.h"
#include "wire/version.h"
#include "worker/worker.h"

namespace potluck::worker {

// One link of the coordinator's.
struct HeldLink final : wire::LinkHandler {
  void OnMessage(wire::Message message) override { messages.push_back(std::move(message)); }
  void OnClosed(absl::Status why) override {
    closed = true;
    status = std::move(why);
  }
  template <typename T>
  std::vector<T> All() const {
    std::vector<T> all;
    for (const wire::Message& message : messages) {
      if (const auto* one = std::get_if<T>(&message)) all.push_back(*one);
    }
    return all;
  }
  wire::LinkKind kind;
  std::unique_ptr<wire::Link> link;
  std::vector<wire::Message> messages;
  bool closed = false;
  absl::Status status;
};

inline wire::Welcome MakeWelcome() {
  wire::Welcome welcome;
  welcome.version = wire::OurVersion("test");
  welcome.term = 1;
  welcome.heartbeat_interval = absl::Milliseconds(500);
  return welcome;
}

struct ScriptedCoordinator final : wire::LinkAcceptor {
  wire::LinkHandler& OnLink(wire::LinkKind kind, std::unique_ptr<wire::Link> link) override {
    auto held = std::make_unique<HeldLink>();
    held->kind = kind;
    held->link = std::move(link);
    if (welcomes && kind == wire::LinkKind::kControl) held->link->Send(MakeWelcome());
    links.push_back(std::move(held));
    return *links.back();
  }
  // The newest link of that kind from that worker, or null.
  HeldLink* Find(const wire::WorkerId& worker, wire::LinkKind kind) {
    for (auto at = links.rbegin(); at != links.rend(); ++at) {
      if ((*at)->kind == kind && (*at)->link->peer().worker == worker && !(*at)->closed)
        return at->get();
    }
    return nullptr;
  }
  bool welcomes = true;
  std::vector<std::unique_ptr<HeldLink>> links;
};

// Adds a delay, or breaks, by who sends to whom.
struct ScriptedFaults final : wire::FaultModel {
  wire::Passage OnDial(const wire::WorkerId& from, const wire::WorkerId& to,
                       wire::LinkKind) override {
    wire::Passage passage;
    passage.delay = delay;
    if (from == cut_from && to == cut_to) passage.broken = absl::UnavailableError("unreachable");
    return passage;
  }
  wire::Passage OnMessage(const wire::WorkerId&, const wire::WorkerId&, wire::LinkKind,
                          const wire::Message&) override {
    wire::Passage passage;
    passage.delay = delay;
    passage.bytes_per_second = bytes_per_second;
    return passage;
  }
  absl::Duration delay = absl::Milliseconds(1);
  double bytes_per_second = 1e9;
  wire::WorkerId cut_from, cut_to;
};

struct SimulatedWorker {
  wire::WorkerId id;
  std::unique_ptr<SimulatedExecutor> executor;
  std::unique_ptr<wire::MemoryTransport> transport;
  std::unique_ptr<PretendLoader> loader;
  std::unique_ptr<Worker> worker;
  std::string address;  // as told in its hello
  std::vector<absl::Status> lost;
  int num_joined = 0;
  bool left = false;
  std::vector<wire::KeepCopy> copies;
};

class WorkerWorld {
 public:
  // Without `other_faults` the scripted ones.
  explicit WorkerWorld(wire::FaultModel* other_faults = nullptr)
      : network(other_faults != nullptr ? other_faults : &faults) {
    coordinator_transport->Listen(coordinator);
  }

  // At `address`, by default as in PeerOf().
  SimulatedWorker& AddWorker(const wire::WorkerId& id, const std::string& address = "") {
    workers.push_back(std::make_unique<SimulatedWorker>());
    SimulatedWorker& added = *workers.back();
    added.id = id;
    added.executor = time.MakeExecutor();
    added.address = address.empty() ? absl::StrCat(id, ":7080") : address;
    added.transport = network.AddNode(id, {added.address}, *added.executor);
    added.loader = std::make_unique<PretendLoader>(*added.executor);
    WorkerOptions options;
    options.hello.version = wire::OurVersion("test");
    options.hello.worker = id;
    options.hello.name = id;
    options.hello.process = 6 + workers.size();
    options.addresses = [&added] { return std::vector<std::string>{added.address}; };
    options.coordinator_addresses = {"coordinator:7071"};
    options.seed = workers.size();
    WorkerEvents events;
    events.joined = [&added](const wire::Welcome&) { ++added.num_joined; };
    events.lost = [&added](const absl::Status& why, bool) { added.lost.push_back(why); };
    events.left = [&added] { added.left = true; };
    events.keep_copy = [&added](const wire::KeepCopy& copy,
                                absl::AnyInvocable<void(absl::Status)> done) {
      added.copies.push_back(copy);
      done(absl::ResourceExhaustedError("the disk is full"));
    };
    added.worker =
        std::make_unique<Worker>(options, events, *added.executor, *added.transport, *added.loader);
    added.transport->Listen(*added.worker);
    added.worker->Start();
    return added;
  }

  // The newest process of that id.
  SimulatedWorker& Find(const wire::WorkerId& id) {
    return **std::find_if(workers.rbegin(), workers.rend(),
                          [&](const auto& worker) { return worker->id == id; });
  }
  // kill -9. It may be added again: another process with the same id.
  void Kill(const wire::WorkerId& id) {
    SimulatedWorker& killed = Find(id);
    killed.executor->Stop();
    killed.transport->Vanish();
    killed.worker.reset();
  }
  // No process of workers holds a stage, or loads one.
  bool NothingHeld() const {
    return std::ranges::all_of(workers, [](const auto& worker) {
      return worker->loader->NumAlive() == 0 && worker->loader->NumLoading() == 0;
    });
  }

  void Run(absl::Duration period = absl::Seconds(1)) { time.RunFor(period); }
  HeldLink& Control(const wire::WorkerId& id) {
    return *coordinator.Find(id, wire::LinkKind::kControl);
  }
  HeldLink& Data(const wire::WorkerId& id) { return *coordinator.Find(id, wire::LinkKind::kData); }
  void Say(const wire::WorkerId& id, wire::Message message) {
    Control(id).link->Send(std::move(message));
  }

  static wire::Peer PeerOf(const wire::WorkerId& id) {
    return {.worker = id, .name = id, .addresses = {absl::StrCat(id, ":7080")}};
  }
  // Stage `stage` of a pipeline over `workers`, a layer each.
  static wire::Prepare PrepareFor(int64_t instance, int64_t epoch,
                                  const std::vector<wire::WorkerId>& pipeline, int32_t stage,
                                  wire::HopKind kind = wire::HopKind::kUpstreamDials) {
    wire::Prepare prepare;
    prepare.instance = instance;
    prepare.epoch = {1, epoch};
    prepare.stage = stage;
    prepare.num_stages = static_cast<int32_t>(pipeline.size());
    prepare.device = "cpu";
    prepare.manifest.fill(static_cast<uint8_t>(instance));
    prepare.range = {2 * stage, 2 * stage + 2};
    prepare.context_length = prepare.kv_capacity = 512;
    prepare.max_sequences = 4;
    prepare.max_tokens = 128;
    prepare.max_outputs = 4;
    if (stage > 0) prepare.previous = {PeerOf(pipeline[stage - 1]), kind};
    if (stage + 1 < prepare.num_stages) prepare.next = {PeerOf(pipeline[stage + 1]), kind};
    return prepare;
  }
  static wire::Commit CommitFor(int64_t instance, int64_t epoch,
                                const std::vector<std::pair<int64_t, int32_t>>& lengths = {}) {
    wire::Commit commit{.instance = instance, .epoch = {1, epoch}, .sequences = {}};
    for (const auto& [sequence, length] : lengths)
      commit.sequences.push_back({.start = {.sequence = sequence}, .length = length});
    return commit;
  }
  // Prepares and commits all stages.
  void Begin(int64_t instance, int64_t epoch, const std::vector<wire::WorkerId>& pipeline,
             wire::HopKind kind = wire::HopKind::kUpstreamDials,
             const std::vector<std::pair<int64_t, int32_t>>& lengths = {}) {
    for (int32_t stage = 0; stage < static_cast<int32_t>(pipeline.size()); ++stage)
      Say(pipeline[stage], PrepareFor(instance, epoch, pipeline, stage, kind));
    Run();
    for (const auto& worker : pipeline) Say(worker, CommitFor(instance, epoch, lengths));
    Run(absl::Milliseconds(100));
  }
  // Tokens at `position` of a sequence, which begins with position 0; the last one is sampled.
  static wire::StageFrame FrameFor(int64_t instance, int64_t epoch, int64_t number,
                                   int64_t sequence, int32_t position, int32_t count = 1) {
    wire::StageFrame frame;
    frame.step = {.instance = instance, .epoch = {1, epoch}, .number = number, .tokens = {}};
    if (position == 0)
      frame.commands.push_back(wire::BeginCommand{.start = {.sequence = sequence}});
    for (int32_t i = 0; i < count; ++i) {
      frame.step.tokens.push_back(
          {.sequence = sequence,
           .id = 5,
           .position = position + i,
           .parent = i - 1,
           .wanted = i + 1 == count ? model::Wanted::kSample : model::Wanted::kNothing});
    }
    return frame;
  }
  std::vector<wire::StepResult> Results(const wire::WorkerId& id) {
    return Data(id).All<wire::StepResult>();
  }

  SimulatedTime time;
  ScriptedFaults faults;
  wire::MemoryNetwork network;
  std::unique_ptr<SimulatedExecutor> coordinator_executor = time.MakeExecutor();
  std::unique_ptr<wire::MemoryTransport> coordinator_transport =
      network.AddNode(wire::kCoordinator, {"coordinator:7071"}, *coordinator_executor);
  ScriptedCoordinator coordinator;
  std::vector<std::unique_ptr<SimulatedWorker>> workers;
};

}  // namespace potluck::worker
