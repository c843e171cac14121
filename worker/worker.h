// A process that holds stages: joins a coordinator, prepares what it is told, runs steps, and
// leaves in good order. All its logic runs on one executor; what takes time (loading, computing)
// runs behind StageLoader and StageRunner.
//
// Its stages survive a lost control link: a coordinator that comes back finds their KV.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "wire/link.h"
#include "wire/messages.h"
#include "worker/links/control_link.h"
#include "worker/links/data_links.h"
#include "worker/links/link_measurement.h"
#include "worker/retired.h"
#include "worker/stage/instance.h"
#include "worker/stage/stage_runner.h"

namespace potluck::worker {

// What a heartbeat tells of the machine.
struct MachineState {
  double load = 0, own_load = 0;           // 0..1, of others and of this worker
  std::vector<int64_t> free_memory_bytes;  // by device, as in the hello
  std::vector<int64_t> held_memory_bytes;  // likewise, by stages of this worker
  int64_t disk_free_bytes = 0;             // for weights
};

struct WorkerOptions {
  wire::WorkerHello hello;
  // Where others may dial it, now: asked for now and then, and told anew where it has changed.
  // None: always as the hello says.
  std::function<std::vector<std::string>()> addresses;
  std::vector<std::string> coordinator_addresses;
  absl::Duration drain_timeout = absl::Seconds(20);
  uint64_t seed = 0;  // of the back-off's jitter
  // Asked for every heartbeat; must be quick. None: nothing is told.
  std::function<MachineState()> machine_state;
  // Likewise: what has been sent to whom. None: nothing is told.
  std::function<std::vector<wire::Traffic>()> traffic;
};

// For whoever owns the worker; all are tasks of its executor.
struct WorkerEvents {
  std::function<void(const wire::Welcome&)> joined;
  // A lost or refused control link: `why` is for people. It will be dialled again.
  std::function<void(const absl::Status& why, bool was_joined)> lost;
  // After Leave: the process may end.
  std::function<void()> left;
  // A heartbeat has been answered, so long after it was sent. May be null.
  std::function<void(absl::Duration round_trip)> heartbeat_answered;
  // `done` with OK once all of it is on the disk; it may be called after the worker is gone.
  std::function<void(const wire::KeepCopy&, absl::AnyInvocable<void(absl::Status)> done)> keep_copy;
  // `done` with this process' metrics in Prometheus' text format; likewise. Null: there are none.
  std::function<void(absl::AnyInvocable<void(std::string)> done)> tell_metrics;
};

// Single-threaded: lives on its executor.
class Worker final : public wire::LinkAcceptor,
                     private ControlEvents,
                     private DataLinkEvents,
                     private StageHost {
 public:
  static constexpr size_t kMostInstances = 64;
  static constexpr size_t kMostMeasurements = 256;  // at once

  // `weights` takes the weights links of peers; null: they are refused. All must outlive the
  // worker.
  Worker(WorkerOptions options, WorkerEvents events, Executor& executor, wire::Transport& transport,
         StageLoader& loader, wire::LinkAcceptor* weights = nullptr);
  ~Worker() override;

  // Dials the coordinator.
  void Start();
  // Asks to go and serves on until it may, or the drain timeout ends; a second call goes at once.
  void Leave();
  // Gives the owner the machine back, or takes part again.
  void Pause(bool paused);

  wire::LinkHandler& OnLink(wire::LinkKind kind, std::unique_ptr<wire::Link> link) override;

  bool joined() const { return control_.joined(); }
  // Frames of epochs that are over, which are dropped silently.
  int64_t num_dropped_frames() const;

 private:
  // Leaves once so long has passed, or the drain timeout since it was told to, unless it may
  // before.
  void Drain(absl::Duration patience);
  // ControlEvents
  wire::WorkerHello MakeHello() override;
  wire::Heartbeat MakeHeartbeat() override;
  void OnWelcome(const wire::Welcome& welcome) override;
  absl::Status OnControl(wire::Message message) override;
  void OnControlLost(const absl::Status& why, bool welcomed) override;
  void OnHeartbeatAnswered(absl::Duration round_trip) override;
  // DataLinkEvents
  absl::Status OnFrame(const Route& from, wire::StageFrame frame) override;
  void OnPong(const Route& from, const wire::Ping& pong) override;
  void OnWritable(const Route& route) override;
  void OnLinkLost(const Route& route, const absl::Status& why) override;
  // StageHost
  void Tell(wire::Message message) override;
  void SendResult(wire::StepResult result) override;
  Sent Forward(const wire::Hop& next, wire::StageFrame frame) override;

  absl::Status Prepare(const wire::Prepare& plan);
  void Fence(const wire::Fence& fence);
  void Commit(const wire::Commit& commit);
  void Release(const wire::Release& release);
  void WatchAddresses();
  void KeepCopy(const wire::KeepCopy& copy);
  void TellMetrics(const wire::MetricsRequest& request);
  absl::Status Measure(const wire::Peer& peer);
  void OnMeasured(wire::LinkMeasured result);
  void UpdateLinks();
  void FinishLeaving();
  Instance* Find(model::InstanceId id);

  const WorkerOptions options_;
  const WorkerEvents events_;
  Executor& executor_;
  StageLoader& loader_;
  wire::LinkAcceptor* const weights_;
  wire::IgnoringHandler refused_;
  ControlLink control_;
  DataLinks data_links_;
  std::map<model::InstanceId, std::shared_ptr<Instance>> instances_;
  std::map<model::InstanceId, model::Epoch> released_;  // of the latest instances
  struct Measuring {
    wire::Peer peer;
    std::unique_ptr<LinkMeasurement> measurement;
  };
  std::map<wire::WorkerId, Measuring> measuring_;
  int64_t num_dropped_frames_ = 0;  // of instances that are not here
  bool leaving_ = false, left_ = false;
  std::optional<bool> paused_;  // none: the owner has said nothing
  std::vector<std::string> told_addresses_;
  absl::Duration drained_by_;  // where it leaves
  Timer drain_, address_watch_;
  Retired retired_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::worker
