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
  std::shared_ptr<Poller> polling;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    polling = polling_;
  }
  Wake(polling);
  polling.reset();
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
  std::shared_ptr<Poller> polling;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    queue_.push_back({std::chrono::steady_clock::now(), std::move(task)});
    polling = polling_;
  }
  Wake(polling);
}

void ThreadExecutor::PostAfter(absl::Duration delay, Task task) {
  const SteadyTime due = After(delay);
  std::shared_ptr<Poller> polling;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    delayed_.push_back({due, posted_++, std::move(task)});
    std::push_heap(delayed_.begin(), delayed_.end(), DueLater);
    polling = polling_;
  }
  Wake(polling);
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

Executor::Task ThreadExecutor::NextDue(SteadyTime& until) {
  // What was posted was due at once.
  const SteadyTime now = std::chrono::steady_clock::now();
  const SteadyTime due = queue_.empty() ? now : queue_.front().at;
  if (!delayed_.empty() && delayed_.front().due <= due) {
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
  until = delayed_.empty() ? now + std::chrono::hours(1) : delayed_.front().due;
  return nullptr;
}

Executor::Task ThreadExecutor::Next() {
  while (true) {
    const std::shared_ptr<Poller> poller = poller_.lock();
    SteadyTime until;
    {
      MutexLock lock(mutex_);
      if (stopping_) return nullptr;
      if (poller == nullptr || unpolled_ < kMostUnpolled) {
        if (Task task = NextDue(until)) {
          ++unpolled_;
          return task;
        }
        if (poller == nullptr) {
          wake_.WaitUntil(mutex_, until);
          continue;
        }
      }
      polling_ = poller;
    }
    unpolled_ = 0;
    poller->WaitUntil(until);
    MutexLock lock(mutex_);
    polling_.reset();
  }
}

// What its own thread posts is seen before it waits again.
void ThreadExecutor::Wake(const std::shared_ptr<Poller>& polling) {
  if (polling == nullptr) {
    wake_.NotifyOne();
  } else if (std::this_thread::get_id() != thread_.get_id()) {
    polling->Wake();
  }
}

}  // namespace potluck
