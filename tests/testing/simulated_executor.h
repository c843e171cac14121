// Executors whose time a test moves: many of them share one virtual clock, and every task of all of
// them runs in one order, by (time, order of posting). The same program with the same seeds runs
// the same tasks at the same times; trace_hash() tells two runs apart.
//
//   SimulatedTime time;
//   std::unique_ptr<SimulatedExecutor> node = time.MakeExecutor();
//   node->PostAfter(absl::Seconds(3), ...);
//   time.RunFor(absl::Seconds(5));
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/executor.h"

namespace potluck {

class SimulatedExecutor;

// Single-threaded. Must outlive its executors.
class SimulatedTime final : public Clock {
 public:
  SimulatedTime() = default;
  SimulatedTime(const SimulatedTime&) = delete;
  SimulatedTime& operator=(const SimulatedTime&) = delete;

  absl::Duration SinceStart() const override { return now_; }
  std::unique_ptr<SimulatedExecutor> MakeExecutor();

  // Runs the next task, moving the time to when it is due. False where nothing is left to run.
  bool RunNext();
  // All tasks that are due within `period`, also those that these post; then the time is at its
  // end.
  void RunFor(absl::Duration period);
  // Until `done` holds after a task: true; false where it does not hold after `limit`, or nothing
  // is left to run.
  bool RunUntil(absl::FunctionRef<bool()> done, absl::Duration limit);

  // A test's own events, told apart by the trace.
  void Trace(std::string_view event);
  // Of everything that ran: when, where, in which order.
  uint64_t trace_hash() const { return trace_hash_; }
  int64_t num_run() const { return num_run_; }

 private:
  friend class SimulatedExecutor;
  struct Event {
    SimulatedExecutor* executor;
    Executor::Task task;
  };
  using Key = std::pair<absl::Duration, uint64_t>;  // due, order of posting

  void Post(SimulatedExecutor& executor, absl::Duration delay, Executor::Task task);
  void Post(SimulatedExecutor& executor, Key key, Executor::Task task);
  void Drop(SimulatedExecutor& executor);
  void Mix(uint64_t value);

  absl::Duration now_;
  uint64_t posted_ = 0, num_executors_ = 0;
  std::map<Key, Event> events_;
  uint64_t trace_hash_ = 0xcbf29ce484222325;
  int64_t num_run_ = 0;
};

// Where one node's logic runs. Single-threaded, unlike what Executor promises.
class SimulatedExecutor final : public Executor {
 public:
  ~SimulatedExecutor() override { Stop(); }

  void Post(Task task) override { PostAfter(absl::ZeroDuration(), std::move(task)); }
  void PostAfter(absl::Duration delay, Task task) override;
  const Clock& clock() const override { return time_; }

  // The process is gone: its tasks are dropped now, and all that are posted later.
  void Stop();
  // The process stands still (SIGSTOP): its tasks wait, and run once it resumes, those that are due
  // by then at once, in their order.
  void Pause() { paused_ = true; }
  void Resume();

  bool stopped() const { return stopped_; }
  bool paused() const { return paused_; }

  // From now on. The real time that tasks take, for benchmarks: of the CPU, not the simulated one.
  void MeasureTasks() { measures_ = true; }
  absl::Duration cpu_time() const { return cpu_time_; }

 private:
  friend class SimulatedTime;
  SimulatedExecutor(SimulatedTime& time, uint64_t number) : time_(time), number_(number) {}

  SimulatedTime& time_;
  const uint64_t number_;
  bool stopped_ = false, paused_ = false, measures_ = false;
  absl::Duration cpu_time_;
  std::vector<std::pair<SimulatedTime::Key, Task>> waiting_;  // for Resume
};

}  // namespace potluck
