// Where a role's logic runs: one task at a time, so that protocol and scheduling need no locks.
//
// Programs give a ThreadExecutor, tests one whose time they move. Raw threads (gRPC's, a device's,
// files') come back into the logic only through Post().
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace potluck {

class Executor {
 public:
  using Task = absl::AnyInvocable<void()>;

  virtual ~Executor() = default;
  // Runs `task` after those that were posted before. Thread-safe. A task posted after the executor
  // has stopped is destroyed without being run.
  virtual void Post(Task task) = 0;
  // Runs `task` once `delay` has passed. Thread-safe. Tasks due at the same time run in the order
  // in which they were posted.
  virtual void PostAfter(absl::Duration delay, Task task) = 0;
  virtual const Clock& clock() const = 0;
};

// One task that is due later, unless it is started anew or cancelled before. Lives on its executor:
// only tasks of this executor may touch it, so a cancelled task never runs.
class Timer {
 public:
  explicit Timer(Executor& executor) : executor_(executor) {}
  ~Timer() { Cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void Start(absl::Duration delay, Executor::Task task) {
    Cancel();
    current_ = std::make_shared<bool>(true);
    executor_.PostAfter(delay, [alive = current_, run = std::move(task)]() mutable {
      if (!*alive) return;
      *alive = false;
      run();
    });
  }
  void Cancel() {
    if (current_) *current_ = false;
    current_.reset();
  }
  bool running() const { return current_ && *current_; }

 private:
  Executor& executor_;
  std::shared_ptr<bool> current_;
};

}  // namespace potluck
