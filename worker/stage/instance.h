// The stages that a worker holds of one instance, and their changes of epoch: Prepare, Fence,
// Commit, Release. Every message is idempotent by (instance, epoch); what an older epoch says is
// dropped.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/executor.h"
#include "wire/messages.h"
#include "worker/links/data_links.h"
#include "worker/retired.h"
#include "worker/stage/hosted_stage.h"
#include "worker/stage/stage_runner.h"

namespace potluck::worker {

// Single-threaded: lives on its worker's executor.
class Instance {
 public:
  static constexpr int32_t kMostStages = 1024;

  struct Surroundings {
    std::string who;  // the worker, in errors
    Executor& executor;
    StageHost& host;
    StageLoader& loader;
  };

  // All of `surroundings` must outlive the instance.
  Instance(model::InstanceId id, const Surroundings& surroundings)
      : id_(id), around_(surroundings), retired_(surroundings.executor) {}

  // Loads, or keeps a runner that is what is asked for; tells Prepared. The stages of the epoch
  // before go on serving meanwhile.
  void Prepare(const wire::Prepare& plan);
  void Fence(const wire::Fence& fence);
  void Commit(const wire::Commit& commit);
  // True where nothing is left.
  bool Release(const model::Epoch& epoch);

  // InvalidArgument for what its sender should never have sent: the link it came by is to be
  // closed. Old epochs are dropped silently.
  absl::Status Take(const Route& from, wire::StageFrame frame);
  // From a stage of this worker to the next one, on this worker too.
  void TakeFromNeighbour(wire::StageFrame frame);
  bool HoldsNextOf(const wire::StageFrame& frame) const { return StageFor(frame) != nullptr; }

  // The data links that present and prepared stages need.
  std::vector<Route> Routes() const;
  // Those of them that this worker dials.
  std::vector<wire::Peer> PeersToDial() const;
  void OnWritable(const Route& route);
  // Of every stage that is here, or on its way.
  std::vector<wire::Heartbeat::Stage> Report() const;
  int64_t num_dropped_frames() const { return num_dropped_frames_; }

 private:
  struct Preparing {
    wire::Prepare plan;
    std::unique_ptr<StageLoader::Loading> loading;
    std::shared_ptr<HostedStage> stage;  // takes what is replayed ahead
    bool done = false;
    absl::Status status;
    std::vector<wire::SequenceLength> held;
  };

  // A runner of an epoch that was overtaken before its commit.
  struct Spare {
    wire::Prepare plan;
    std::shared_ptr<StageRunner> runner;
  };

  // The stage that it goes into: those before have each added their timing.
  static int32_t StageOf(const wire::StageFrame& frame) {
    return static_cast<int32_t>(frame.timings.size());
  }
  // The stage that is to take it, of this epoch or, a replay, of the one that is being prepared; or
  // null.
  HostedStage* StageFor(const wire::StageFrame& frame) const;
  // InvalidArgument for a stage that cannot be.
  absl::Status Check(const wire::Prepare& plan) const;
  void BeginPreparing(const model::Epoch& epoch);
  void Load(Preparing& preparing);
  void Loaded(int32_t stage, absl::StatusOr<std::unique_ptr<StageRunner>> runner);
  void KeepRunner(Preparing& preparing, std::shared_ptr<StageRunner> runner);
  void TellPrepared(const Preparing& preparing);
  void TellKept(const Preparing& preparing);
  void TellAgain(const Preparing& preparing);
  bool Serves(const std::shared_ptr<StageRunner>& runner) const;
  void OnStageFenced(const model::Epoch& epoch);
  // One that is there already, or null.
  std::shared_ptr<StageRunner> TakeRunnerLike(const wire::Prepare& plan);
  // Over: what is said of it comes too late.
  bool Dropped(const model::Epoch& epoch) const { return epoch < epoch_ || epoch < fence_; }
  // Of all stages, present and prepared.
  std::vector<const wire::Prepare*> Plans() const;

  const model::InstanceId id_;
  const Surroundings around_;
  model::Epoch epoch_;  // of stages_
  std::map<int32_t, std::shared_ptr<HostedStage>> stages_;
  model::Epoch fence_;  // steps of earlier epochs are dropped
  int unfenced_stages_ = 0;
  model::Epoch preparing_epoch_;
  std::map<int32_t, Preparing> preparing_;
  std::vector<Spare> spares_;  // until something else has to be loaded
  int64_t num_dropped_frames_ = 0;
  Retired retired_;
};

}  // namespace potluck::worker
