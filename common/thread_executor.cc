#include "common/thread_executor.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace potluck {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// `delay` after now, at most a year.
SteadyTime After(absl::Duration delay) {
  delay = std::clamp(delay, absl::ZeroDuration(), absl::Hours(24 * 365));
  return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(delay);
}

}  // namespace

absl::Duration SteadyClock::SinceStart() const {
  return absl::FromChrono(std::chrono::steady_clock::now() - start_);
}

ThreadExecutor::ThreadExecutor(const char* name) : thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), name);
}

ThreadExecutor::~ThreadExecutor() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
  // Destroying a task may post another: that one is dropped, since we are stopping.
  std::deque<Posted> queue;
  std::vector<Delayed> delayed;
  {
    MutexLock lock(mutex_);
    queue.swap(queue_);
    delayed.swap(delayed_);
  }
}

void ThreadExecutor::Post(Task task) {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    queue_.push_back({std::chrono::steady_clock::now(), std::move(task)});
  }
  wake_.NotifyOne();
}

void ThreadExecutor::PostAfter(absl::Duration delay, Task task) {
  const SteadyTime due = After(delay);
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    delayed_.push_back({due, posted_++, std::move(task)});
    std::push_heap(delayed_.begin(), delayed_.end(), DueLater);
  }
  wake_.NotifyOne();
}

void ThreadExecutor::RunAndWait(Task task) {
  Mutex mutex;
  Condition done;
  bool ran = false;
  Post([&] {
    task();
    MutexLock lock(mutex);
    ran = true;
    done.NotifyOne();
  });
  MutexLock lock(mutex);
  while (!ran) done.Wait(mutex);
}

bool ThreadExecutor::DueLater(const Delayed& a, const Delayed& b) {
  return a.due != b.due ? a.due > b.due : a.number > b.number;
}

void ThreadExecutor::Run() {
  while (Task task = Next()) task();
}

Executor::Task ThreadExecutor::Next() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    // What was posted was due at once.
    const SteadyTime until = queue_.empty() ? std::chrono::steady_clock::now() : queue_.front().at;
    if (!delayed_.empty() && delayed_.front().due <= until) {
      std::pop_heap(delayed_.begin(), delayed_.end(), DueLater);
      Task task = std::move(delayed_.back().task);
      delayed_.pop_back();
      return task;
    }
    if (!queue_.empty()) {
      Task task = std::move(queue_.front().task);
      queue_.pop_front();
      return task;
    }
    if (delayed_.empty()) {
      wake_.Wait(mutex_);
    } else {
      wake_.WaitUntil(mutex_, delayed_.front().due);
    }
  }
  return nullptr;
}

}  // namespace potluck
