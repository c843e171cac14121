// The cluster's state for those who watch it: all of it at once, and again whenever it has changed.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/executor.h"
#include "coordinator/coordinator.h"

namespace potluck::coordinator {

class ClusterWatcher {
 public:
  virtual ~ClusterWatcher() = default;
  // Who does not read in time misses states in between, never the last.
  virtual bool HasReadAll() const = 0;
  // States are numbered: the same number is the same state.
  virtual void OnState(const nlohmann::ordered_json& state, int64_t number) = 0;
  // For a while.
  virtual void OnNothingNew() = 0;
  // Nothing more is told.
  virtual void OnEnd() = 0;
};

// Single-threaded: lives on the coordinator's executor. Does nothing while nobody watches.
class ClusterWatch {
 public:
  static constexpr size_t kMostWatchers = 64;

  // Both must outlive the object.
  ClusterWatch(Coordinator& coordinator, Executor& executor);
  // Ends all that watch.
  ~ClusterWatch();

  // ResourceExhausted beyond kMostWatchers; else what ends its watching, to be called as a task, at
  // any time.
  absl::StatusOr<std::function<void()>> Add(std::shared_ptr<ClusterWatcher> watcher);

 private:
  struct Watching {
    std::shared_ptr<ClusterWatcher> watcher;
    int64_t told = 0;  // the number of the state
  };
  void Look();

  Coordinator& coordinator_;
  Executor& executor_;
  std::list<Watching> watching_;
  nlohmann::ordered_json state_;
  int64_t number_ = 0;      // of the state
  absl::Duration said_at_;  // when it, or anything, was said
  Timer next_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
