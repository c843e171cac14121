// A coordinator and its workers, whole, in one process: their real code over a network and stages
// that pretend. A stage's model is a hash of exactly the tokens that it was given
// (fake_pipeline.h), so any lost, doubled or misplaced token changes a request's text.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "coordinator/coordinator.h"
#include "tests/coordinator/scheduler/fake_pipeline.h"
#include "tests/testing/simulated_executor.h"
#include "wire/memory/memory_network.h"
#include "worker/worker.h"

namespace potluck::sim {

struct SimModel {
  int64_t num_layers = 12;
  int64_t layer_bytes = int64_t{100} << 20;
  int64_t window = 0;
  int64_t context_length = 512;
  int64_t parallel = 4;
};

struct SimWorkerOptions {
  int64_t memory_bytes = int64_t{4} << 30;
  double bytes_per_second = 10e9;
  bool reachable = true;  // others may dial it
  std::string host;       // its name where empty
};

// What all pretended stages share.
struct StageWorld {
  absl::Duration step_time = absl::Milliseconds(10);
  absl::Duration layer_time;               // of each layer in addition
  std::map<std::string, double> slowness;  // times both, by worker
  absl::Duration load_time = absl::Milliseconds(300);
  int64_t alive = 0;                // runners
  std::vector<std::string> errors;  // what no stage may be asked
  // A worker's fault, or OK; none: OK.
  std::function<absl::Status(const std::string&who)> on_load, on_step, on_copy;
  std::map<std::string, int64_t> steps_by_worker;
  int64_t kept_rows = 1000;                 // of each sequence, for replays
  int64_t tokens_passed = 0;                // in replays, by stages that had them already
  int64_t tokens_ahead = 0;                 // that came before their epoch's commit
  int64_t tokens_run = 0;                   // and after it; by stage added up
  int64_t tokens_replayed = 0;              // of them, by stages that alone had lacked them
  std::map<std::string, int> copies_asked;  // by worker
};

// A request and all that its reader has heard.
class SimRequest final : public coordinator::RequestEvents {
 public:
  void OnToken(model::TokenId token, const std::vector<model::TokenLogprob>&) override {
    tokens.push_back(token);
  }
  void OnRows(const std::vector<float>& more) override {
    rows.insert(rows.end(), more.begin(), more.end());
  }
  void OnFinished(const coordinator::SchedulerEvent&) override { finished = true; }
  void OnFailed(const absl::Status& why) override { failed = why; }
  bool ended() const { return finished || !failed.ok() || cancelled; }

  coordinator::SequenceRequest request;
  std::optional<coordinator::Coordinator::RequestId> id;
  std::vector<model::TokenId> tokens;
  std::vector<float> rows;
  bool finished = false, cancelled = false;
  absl::Status failed;
};

// Delays, and links that are cut until they are mended.
class SimFaults final : public wire::FaultModel {
 public:
  wire::Passage OnDial(const wire::WorkerId& from, const wire::WorkerId& to,
                       wire::LinkKind kind) override;
  wire::Passage OnMessage(const wire::WorkerId& from, const wire::WorkerId& to, wire::LinkKind kind,
                          const wire::Message& message) override;
  absl::Duration delay = absl::Milliseconds(1);
  // Silently: nothing arrives and nobody is told.
  std::set<std::pair<wire::WorkerId, wire::WorkerId>> black_holes;
  // Dials fail at once.
  std::set<std::pair<wire::WorkerId, wire::WorkerId>> refused;
};

class SimWorld {
 public:
  explicit SimWorld(const SimModel& model = {});
  ~SimWorld();

  void AddWorker(const std::string& name, const SimWorkerOptions& options = {});
  // kill -9: its links break at once; or the plug is pulled: nobody is told.
  void Kill(const std::string& name, bool silently = false);
  // A new process on the same machine.
  void Restart(const std::string& name);
  // In a new term, with nothing loaded; it knows its workers and where the next Load was before.
  // Requests of before hear nothing more.
  void RestartCoordinator();
  void Freeze(const std::string& name) { workers_.at(name)->executor->Pause(); }
  void Thaw(const std::string& name) { workers_.at(name)->executor->Resume(); }
  bool IsAlive(const std::string& name) const { return workers_.at(name)->worker != nullptr; }
  worker::Worker& worker(const std::string& name) { return *workers_.at(name)->worker; }
  bool HasLeft(const std::string& name) const { return workers_.at(name)->left; }
  std::vector<std::string> names() const;

  // Loads the model. The split may be wished for.
  void Load(bool spread = true, const partition::LayerWishes& layers = {});
  // `rows_from`: for its rows from there on instead of an answer.
  SimRequest& Submit(int64_t prompt_length, int64_t max_tokens, uint64_t seed,
                     std::optional<int32_t> rows_from = std::nullopt);
  void Cancel(SimRequest& request);
  // What the request's text must be.
  std::vector<model::TokenId> Expected(const SimRequest& request) const;
  static std::vector<float> ExpectedRows(const SimRequest& request);

  void Run(absl::Duration period) { time.RunFor(period); }
  bool RunUntil(const std::function<bool()>& done, absl::Duration limit = absl::Minutes(5)) {
    return time.RunUntil(done, limit);
  }
  bool ready() const;
  const coordinator::Instance& instance() const { return *coordinator->instances().at(0); }
  // Workers of the pipeline that serves, in order.
  std::vector<std::string> Stages() const;

  SimulatedTime time;
  SimFaults faults;
  wire::MemoryNetwork network{&faults};
  StageWorld stages;
  std::vector<std::unique_ptr<SimRequest>> requests;
  std::unique_ptr<SimulatedExecutor> coordinator_executor, planner_executor;
  std::unique_ptr<wire::MemoryTransport> coordinator_transport;
  std::unique_ptr<coordinator::Coordinator> coordinator;
  model::InstanceId instance_id = 0;

 private:
  class NoWeights;
  class Loader;
  struct SimWorker {
    SimWorkerOptions options;
    uint64_t process = 0;
    std::unique_ptr<SimulatedExecutor> executor;
    std::unique_ptr<wire::MemoryTransport> transport;
    std::unique_ptr<Loader> loader;
    std::unique_ptr<worker::Worker> worker;
    bool left = false;
  };
  void Start(const std::string& name);
  void StartCoordinator();

  const SimModel model_;
  int64_t term_ = 0;
  std::vector<coordinator::KnownWorker> known_workers_;
  std::vector<partition::Placement> previous_;
  std::unique_ptr<NoWeights> weights_;
  std::map<std::string, std::unique_ptr<SimWorker>> workers_;
  uint64_t num_processes_ = 0;
};

}  // namespace potluck::sim
