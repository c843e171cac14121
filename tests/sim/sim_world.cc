#include "tests/sim/sim_world.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "wire/version.h"

namespace potluck::sim {
namespace {

// Hashes travel as hidden rows.
void AddRow(uint64_t hash, std::vector<float>& rows) {
  const std::vector<float> row = coordinator::RowOf(hash);
  rows.insert(rows.end(), row.begin(), row.end());
}

std::vector<uint64_t> HashesOf(const wire::StageFrame& frame) {
  constexpr size_t kRow = coordinator::kFakeDim;
  std::vector<uint64_t> hashes(frame.step.tokens.size(), 0);
  for (size_t i = 0; i < hashes.size() * kRow && i < frame.hidden.size(); ++i)
    hashes[i / kRow] |= static_cast<uint64_t>(frame.hidden[i]) << (16 * (i % kRow));
  return hashes;
}

// Runs frames one after another on a coordinator::FakeStage.
class SimRunner final : public worker::StageRunner {
 public:
  SimRunner(const wire::Prepare& plan, int64_t window, std::string who, Executor& executor,
            StageWorld& world)
      : plan_(plan),
        who_(std::move(who)),
        executor_(executor),
        world_(world),
        stage_(plan.kv_capacity, plan.max_sequences, window) {
    stage_.KeepRows(world_.kept_rows);
    ++world_.alive;
  }
  ~SimRunner() override { --world_.alive; }

  void Run(wire::StageFrame frame, const worker::StagePart& part,
           absl::AnyInvocable<void(absl::StatusOr<worker::StageOutput>)> done) override {
    Later([this, frame = std::move(frame), part, done = std::move(done)]() mutable {
      done(RunNow(frame, part));
    });
  }

  void ReportHeld(absl::AnyInvocable<void(std::vector<wire::SequenceLength>)> done) override {
    Later([this, done = std::move(done)]() mutable { done(stage_.Held()); });
  }

  void Commit(
      std::vector<wire::Commit::Sequence> sequences,
      absl::AnyInvocable<void(absl::StatusOr<std::vector<wire::SequenceLength>>)> done) override {
    Later([this, sequences = std::move(sequences), done = std::move(done)]() mutable {
      failed_ = false;
      done(stage_.Commit(sequences));
    });
  }

 private:
  absl::Duration StepTime() const {
    const auto slow = world_.slowness.find(who_);
    const int layers = (plan_.range.last_cut - plan_.range.first_cut) / 2;
    return (world_.step_time + layers * world_.layer_time) *
           (slow == world_.slowness.end() ? 1 : slow->second);
  }

  void Later(Executor::Task task) {
    const absl::Duration now = executor_.clock().SinceStart();
    free_at_ = std::max(free_at_, now) + StepTime();
    executor_.PostAfter(free_at_ - now,
                        [alive = std::weak_ptr(alive_), run = std::move(task)]() mutable {
                          if (!alive.expired()) run();
                        });
  }

  absl::StatusOr<worker::StageOutput> RunNow(const wire::StageFrame& frame,
                                             const worker::StagePart& part) {
    // What follows a failed step need not fit any more; nobody counts on it before the next Commit.
    if (failed_) return absl::FailedPreconditionError("a step has failed before");
    if (world_.on_step) {
      absl::Status fault = world_.on_step(who_);
      failed_ = !fault.ok();
      if (failed_) return fault;
    }
    std::vector<uint64_t> hashes = HashesOf(frame);
    std::string error;
    const bool last = plan_.stage + 1 == plan_.num_stages;
    world_.tokens_passed += part.computes ? 0 : std::ssize(frame.step.tokens);
    const coordinator::FakeStage::Part role{part.computes, last ? part.computes : part.passes_on,
                                            part.ahead};
    if (!stage_.Run(frame, role, hashes, error)) {
      world_.errors.push_back(absl::StrCat(who_, ", epoch ", frame.step.epoch.number, ", step ",
                                           frame.step.number, ": ", error));
      return absl::InternalError(error);
    }
    ++world_.steps_by_worker[who_];
    worker::StageOutput output;
    output.computing_seconds = absl::ToDoubleSeconds(StepTime());
    output.left_out = hashes.size() < frame.step.tokens.size();
    (part.ahead ? world_.tokens_ahead : world_.tokens_run) += std::ssize(frame.step.tokens);
    if (!part.ahead && part.computes && !frame.replaying.empty())
      world_.tokens_replayed += std::ssize(frame.step.tokens);
    if (!last) {
      if (part.passes_on) {
        for (const uint64_t hash : hashes) AddRow(hash, output.hidden);
      }
      return output;
    }
    for (size_t i = 0; i < hashes.size(); ++i) {
      const model::StepToken& token = frame.step.tokens[i];
      if (token.wanted == model::Wanted::kHidden) AddRow(hashes[i], output.hidden);
      if (token.wanted != model::Wanted::kSample) continue;
      const uint64_t seed = stage_.start_of(token.sequence).sampling.seed;
      output.tokens.push_back({.sequence = token.sequence,
                               .position = token.position + 1,
                               .id = coordinator::PickToken(hashes[i], seed)});
    }
    return output;
  }

  const wire::Prepare plan_;
  const std::string who_;
  Executor& executor_;
  StageWorld& world_;
  coordinator::FakeStage stage_;
  bool failed_ = false;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  absl::Duration free_at_;
};

}  // namespace

class SimWorld::Loader final : public worker::StageLoader {
 public:
  Loader(std::string who, int64_t window, Executor& executor, StageWorld& world)
      : who_(std::move(who)), window_(window), executor_(executor), world_(world) {}

  std::unique_ptr<Loading> Load(
      const wire::Prepare& plan, absl::AnyInvocable<void(double fraction)> on_progress,
      absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<worker::StageRunner>>)> done)
      override {
    auto loading = std::make_unique<Pretending>();
    executor_.PostAfter(world_.load_time / 2, [alive = std::weak_ptr(loading->alive),
                                               tell = std::move(on_progress)]() mutable {
      if (!alive.expired()) tell(0.5);
    });
    executor_.PostAfter(world_.load_time, [this, plan, alive = std::weak_ptr(loading->alive),
                                           tell = std::move(done)]() mutable {
      if (alive.expired()) return;
      absl::Status fault = world_.on_load ? world_.on_load(who_) : absl::OkStatus();
      if (fault.ok()) {
        tell(std::make_unique<SimRunner>(plan, window_, who_, executor_, world_));
      } else {
        tell(fault);
      }
    });
    return loading;
  }

 private:
  struct Pretending final : Loading {
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  };
  const std::string who_;
  const int64_t window_;
  Executor& executor_;
  StageWorld& world_;
};

// Nobody fetches weights here.
class SimWorld::NoWeights final : public wire::LinkAcceptor {
 public:
  wire::LinkHandler& OnLink(wire::LinkKind, std::unique_ptr<wire::Link> link) override {
    link->Close(absl::UnimplementedError("there are no weights here"));
    return refused_;
  }

 private:
  wire::IgnoringHandler refused_;
};

wire::Passage SimFaults::OnDial(const wire::WorkerId& from, const wire::WorkerId& to,
                                wire::LinkKind) {
  wire::Passage passage;
  passage.delay = black_holes.contains({from, to}) ? absl::Seconds(5) : delay;
  if (refused.contains({from, to}) || black_holes.contains({from, to}))
    passage.broken = absl::UnavailableError("unreachable");
  return passage;
}

wire::Passage SimFaults::OnMessage(const wire::WorkerId& from, const wire::WorkerId& to,
                                   wire::LinkKind, const wire::Message&) {
  wire::Passage passage;
  passage.delay = black_holes.contains({from, to}) ? absl::InfiniteDuration() : delay;
  passage.bytes_per_second = 1e9;
  return passage;
}

SimWorld::SimWorld(const SimModel& model) : model_(model), weights_(std::make_unique<NoWeights>()) {
  StartCoordinator();
}

void SimWorld::StartCoordinator() {
  coordinator_executor = time.MakeExecutor();
  planner_executor = time.MakeExecutor();
  coordinator_transport =
      network.AddNode(wire::kCoordinator, {"coordinator:7071"}, *coordinator_executor);
  coordinator = std::make_unique<coordinator::Coordinator>(
      coordinator::CoordinatorOptions{.version = wire::OurVersion("sim"),
                                      .term = ++term_,
                                      .cluster = "sim",
                                      .host = "coordinator",
                                      .known_workers = known_workers_},
      *coordinator_executor, *planner_executor, *weights_);
  coordinator_transport->Listen(*coordinator);
}

SimWorld::~SimWorld() {
  for (const auto& [name, worker] : workers_) Kill(name);
  coordinator_executor->Stop();
  coordinator_transport->Vanish();
}

void SimWorld::RestartCoordinator() {
  known_workers_ = coordinator->membership().Known();
  previous_.clear();
  if (!coordinator->instances().empty() && instance().pipeline() != nullptr)
    previous_ = instance().pipeline()->plan.placements();
  coordinator_executor->Stop();
  planner_executor->Stop();
  coordinator_transport->Vanish();
  coordinator.reset();
  coordinator_transport.reset();
  StartCoordinator();
}

void SimWorld::AddWorker(const std::string& name, const SimWorkerOptions& options) {
  auto worker = std::make_unique<SimWorker>();
  worker->options = options;
  workers_[name] = std::move(worker);
  Start(name);
}

void SimWorld::Start(const std::string& name) {
  SimWorker& added = *workers_.at(name);
  const SimWorkerOptions& with = added.options;
  added.process = ++num_processes_;
  added.left = false;
  added.executor = time.MakeExecutor();
  std::vector<std::string> addresses;
  if (with.reachable) addresses.push_back(absl::StrCat(name, ":7080"));
  added.transport = network.AddNode(name, addresses, *added.executor);
  added.loader = std::make_unique<Loader>(name, model_.window, *added.executor, stages);
  worker::WorkerOptions options;
  options.hello.version = wire::OurVersion("sim");
  options.hello.worker = options.hello.name = name;
  options.hello.process = added.process;
  options.hello.host = with.host.empty() ? name : with.host;
  options.hello.addresses = addresses;
  wire::DeviceProfile device{.device = "cpu", .backend = "cpu", .numerics_class = "cpu-1"};
  device.memory_bytes = device.free_memory_bytes = with.memory_bytes;
  for (const kernels::DType dtype : {kernels::DType::kF16, kernels::DType::kQ8_0})
    device.rates.push_back({dtype, with.bytes_per_second, 100 * with.bytes_per_second});
  options.hello.devices.push_back(device);
  options.coordinator_addresses = {"coordinator:7071"};
  options.seed = added.process;
  options.machine_state = [] { return worker::MachineState{.disk_free_bytes = int64_t{1} << 40}; };
  worker::WorkerEvents events;
  events.left = [&added] { added.left = true; };
  events.keep_copy = [this, name](const wire::KeepCopy&,
                                  absl::AnyInvocable<void(absl::Status)> done) {
    ++stages.copies_asked[name];
    done(stages.on_copy ? stages.on_copy(name) : absl::OkStatus());
  };
  added.worker = std::make_unique<worker::Worker>(options, events, *added.executor,
                                                  *added.transport, *added.loader);
  added.transport->Listen(*added.worker);
  added.worker->Start();
}

void SimWorld::Kill(const std::string& name, bool silently) {
  SimWorker& gone = *workers_.at(name);
  if (gone.worker == nullptr) return;
  gone.executor->Stop();
  gone.transport->Vanish(silently ? absl::InfiniteDuration() : absl::ZeroDuration());
  gone.worker.reset();
  gone.loader.reset();
  gone.transport.reset();
}

void SimWorld::Restart(const std::string& name) {
  Kill(name);
  Start(name);
}

std::vector<std::string> SimWorld::names() const {
  std::vector<std::string> names;
  for (const auto& [name, worker] : workers_) names.push_back(name);
  return names;
}

void SimWorld::Load(bool spread, const partition::LayerWishes& layers) {
  partition::InstanceWish wish;
  wish.model.name = "hash";
  wish.model.model_dim = 4;
  wish.model.head_dim = 4;
  wish.model.context_length = model_.context_length;
  for (int64_t i = 0; i < model_.num_layers; ++i) {
    partition::LayerShape layer;
    layer.weights.push_back(
        {.dtype = kernels::DType::kQ8_0,
         .held_bytes = model_.layer_bytes,
         .operations_per_token = 2.0 * static_cast<double>(model_.layer_bytes)});
    layer.window = model_.window;
    layer.kv_values = 32;
    wish.model.layers.push_back(layer);
  }
  wish.model.embedding.dtype = wish.model.head.dtype = kernels::DType::kQ8_0;
  wish.context_length = model_.context_length;
  wish.parallel = model_.parallel;
  wish.max_step_tokens = 64;
  wish.spread = spread;
  wish.layers = layers;
  wish.previous = std::exchange(previous_, {});
  coordinator::InstanceModel model;
  model.name = "hash";
  model.max_step_tokens = wish.max_step_tokens;
  model.windowed = model_.window > 0;
  model.scheduled.context_length = model_.context_length;
  model.scheduled.vocab_size = coordinator::kFakeVocab;
  model.scheduled.model_dim = coordinator::kFakeDim;
  model.scheduled.window = model_.window;
  const auto id = coordinator->Load(std::move(model), std::move(wish));
  if (!id.ok()) {
    stages.errors.push_back(id.status().ToString());
    return;
  }
  instance_id = *id;
}

SimRequest& SimWorld::Submit(int64_t prompt_length, int64_t max_tokens, uint64_t seed,
                             std::optional<int32_t> rows_from) {
  requests.push_back(std::make_unique<SimRequest>());
  SimRequest& request = *requests.back();
  std::mt19937_64 random(seed);
  for (int64_t i = 0; i < prompt_length; ++i) {
    // Many prompts begin alike.
    const uint64_t word = i < 40 ? static_cast<uint64_t>(i) : random();
    request.request.prompt.push_back(static_cast<model::TokenId>(word % coordinator::kFakeVocab));
  }
  request.request.sampling.seed = seed;
  request.request.max_tokens = max_tokens;
  request.request.end_tokens = {7};
  request.request.rows_from = rows_from;
  auto id = coordinator->Submit(instance_id, request.request, request);
  if (id.ok()) {
    request.id = *id;
  } else {
    request.failed = id.status();
  }
  return request;
}

void SimWorld::Cancel(SimRequest& request) {
  if (request.ended()) return;
  request.cancelled = true;
  coordinator->Cancel(*request.id);
}

std::vector<model::TokenId> SimWorld::Expected(const SimRequest& request) const {
  if (request.request.rows_from.has_value()) return {};
  return coordinator::ReferenceAnswer(request.request, model_.context_length);
}

std::vector<float> SimWorld::ExpectedRows(const SimRequest& request) {
  if (!request.request.rows_from.has_value()) return {};
  return coordinator::ReferenceRows(request.request);
}

bool SimWorld::ready() const { return !coordinator->instances().empty() && instance().ready(); }

std::vector<std::string> SimWorld::Stages() const {
  std::vector<std::string> workers;
  if (instance().pipeline() == nullptr) return workers;
  for (const partition::StagePlan& stage : instance().pipeline()->plan.stages)
    workers.push_back(stage.worker_id);
  return workers;
}

}  // namespace potluck::sim
