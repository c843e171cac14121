#include "tests/testing/simulated_executor.h"

#include <time.h>

#include <algorithm>

namespace potluck {
namespace {

absl::Duration ThreadCpuTime() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

}  // namespace

std::unique_ptr<SimulatedExecutor> SimulatedTime::MakeExecutor() {
  return std::unique_ptr<SimulatedExecutor>(new SimulatedExecutor(*this, ++num_executors_));
}

void SimulatedTime::Post(SimulatedExecutor& executor, absl::Duration delay, Executor::Task task) {
  Post(executor, {now_ + std::max(delay, absl::ZeroDuration()), ++posted_}, std::move(task));
}

void SimulatedTime::Post(SimulatedExecutor& executor, Key key, Executor::Task task) {
  events_.emplace(key, Event{&executor, std::move(task)});
}

void SimulatedTime::Drop(SimulatedExecutor& executor) {
  // Destroying a task may post or destroy other things: outside the map.
  std::vector<Executor::Task> dropped;
  for (auto event = events_.begin(); event != events_.end();) {
    if (event->second.executor == &executor) {
      dropped.push_back(std::move(event->second.task));
      event = events_.erase(event);
    } else {
      ++event;
    }
  }
}

bool SimulatedTime::RunNext() {
  if (events_.empty()) return false;
  auto node = events_.extract(events_.begin());
  // What waited for a Resume may be due in the past.
  now_ = std::max(now_, node.key().first);
  Event& event = node.mapped();
  if (event.executor->paused_) {
    event.executor->waiting_.emplace_back(node.key(), std::move(event.task));
    return true;
  }
  Mix(static_cast<uint64_t>(absl::ToInt64Nanoseconds(now_)));
  Mix(event.executor->number_);
  ++num_run_;
  Executor::Task task = std::move(event.task);
  SimulatedExecutor& executor = *event.executor;
  if (!executor.measures_) {
    task();
    return true;
  }
  const absl::Duration began = ThreadCpuTime();
  task();
  executor.cpu_time_ += ThreadCpuTime() - began;
  return true;
}

void SimulatedTime::RunFor(absl::Duration period) {
  const absl::Duration end = now_ + period;
  while (!events_.empty() && events_.begin()->first.first <= end) RunNext();
  now_ = std::max(now_, end);
}

bool SimulatedTime::RunUntil(absl::FunctionRef<bool()> done, absl::Duration limit) {
  const absl::Duration end = now_ + limit;
  while (!done()) {
    if (events_.empty()) return false;
    if (events_.begin()->first.first > end) {
      now_ = end;
      return false;
    }
    RunNext();
  }
  return true;
}

void SimulatedTime::Trace(std::string_view event) {
  for (const char c : event) Mix(static_cast<unsigned char>(c));
}

// FNV-1a over eight bytes at a time, with a shift, so that high bits reach low ones.
void SimulatedTime::Mix(uint64_t value) {
  trace_hash_ = (trace_hash_ ^ value) * 0x100000001b3;
  trace_hash_ ^= trace_hash_ >> 29;
}

void SimulatedExecutor::PostAfter(absl::Duration delay, Task task) {
  // What is never due is not kept.
  if (!stopped_ && delay < absl::InfiniteDuration()) time_.Post(*this, delay, std::move(task));
}

void SimulatedExecutor::Stop() {
  stopped_ = true;
  const auto dropped = std::move(waiting_);
  time_.Drop(*this);
}

void SimulatedExecutor::Resume() {
  paused_ = false;
  for (auto& [key, task] : std::exchange(waiting_, {})) time_.Post(*this, key, std::move(task));
}

}  // namespace potluck
