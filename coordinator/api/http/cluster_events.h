// The cluster's state as server-sent events, for those who watch it: all of it at once, and again
// whenever it has changed. Source: the HTML standard, "Server-sent events".
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/executor.h"
#include "coordinator/api/http/http_server.h"
#include "coordinator/coordinator.h"

namespace potluck::coordinator {

// Single-threaded: lives on the coordinator's executor. Does nothing while nobody watches.
class ClusterEvents {
 public:
  static constexpr size_t kMostWatchers = 64;

  // Both must outlive the object.
  ClusterEvents(Coordinator& coordinator, Executor& executor);
  // Ends all streams.
  ~ClusterEvents();

  // Who does not read in time misses states in between, never the last. 429 beyond kMostWatchers.
  void Watch(std::shared_ptr<HttpExchange> exchange);

 private:
  struct Watcher {
    std::shared_ptr<HttpExchange> exchange;
    int64_t told = 0;  // the number of the state
  };
  void Look();

  Coordinator& coordinator_;
  Executor& executor_;
  std::list<Watcher> watchers_;
  std::string state_;
  int64_t number_ = 0;      // of the state
  absl::Duration said_at_;  // when it, or anything, was said
  Timer next_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
