// The executor of a program: one thread, a queue, and a heap of what is due later.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "common/executor.h"
#include "common/mutex.h"

namespace potluck {

// The system's clock since it was made. Thread-safe.
class SteadyClock final : public Clock {
 public:
  absl::Duration SinceStart() const override;

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Waits for events of another library, and deals with them, on the thread of an executor that has
// no task: what they lead to then needs no other thread to be woken.
class Poller {
 public:
  virtual ~Poller() = default;
  // Deals with the next event, or returns at `until` or after Wake.
  virtual void WaitUntil(std::chrono::steady_clock::time_point until) = 0;
  // Thread-safe.
  virtual void Wake() = 0;
};

// Thread-safe. Tasks run in the order of when they became due: a timer that is overdue does not
// overtake what was posted before its time, such as the very message whose absence it was to note.
class ThreadExecutor final : public Executor {
 public:
  // `name`: what tools that list threads show, of at most 15 characters.
  explicit ThreadExecutor(const char* name = "executor");
  // Waits for the task that runs now; the others are destroyed, on the destroying thread, without
  // being run. Not to be called from a task.
  ~ThreadExecutor() override;

  void Post(Task task) override;
  void PostAfter(absl::Duration delay, Task task) override;
  const Clock& clock() const override { return clock_; }

  // Runs `task` as a task and waits until it has run. For programs' main threads and for tests; not
  // to be called from a task.
  void RunAndWait(Task task);

  // It polls as long as somebody else keeps it. To be called from a task.
  void SetPoller(std::weak_ptr<Poller> poller) { poller_ = std::move(poller); }
  std::shared_ptr<Poller> poller() const { return poller_.lock(); }

 private:
  // Events are looked for after so many tasks, even if there are more.
  static constexpr int kMostUnpolled = 16;

  struct Posted {
    std::chrono::steady_clock::time_point at;
    Task task;
  };
  struct Delayed {
    std::chrono::steady_clock::time_point due;
    uint64_t number;  // in the order of posting
    Task task;
  };
  static bool DueLater(const Delayed& a, const Delayed& b);

  void Run();
  // The next task, waiting for it; none when stopping.
  Task Next();
  // The next task if one is due; sets `until` to when one will be, as far as is known.
  Task NextDue(std::chrono::steady_clock::time_point& until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Wherever the thread waits.
  void Wake(const std::shared_ptr<Poller>& polling);

  const SteadyClock clock_;
  Mutex mutex_;
  Condition wake_;
  std::deque<Posted> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<Delayed> delayed_ ABSL_GUARDED_BY(mutex_);  // a heap: the next one first
  uint64_t posted_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Poller> polling_ ABSL_GUARDED_BY(mutex_);  // while it waits
  std::weak_ptr<Poller> poller_;                             // of the thread
  int unpolled_ = 0;                                         // likewise: tasks since then
  std::thread thread_;
};

}  // namespace potluck
