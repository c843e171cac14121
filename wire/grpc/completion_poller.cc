#include "wire/grpc/completion_poller.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "grpc/support/time.h"

namespace potluck::wire {
namespace {

constexpr std::chrono::seconds kLongest(60);

gpr_timespec DeadlineAt(std::chrono::steady_clock::time_point until) {
  const std::chrono::nanoseconds wait =
      std::clamp<std::chrono::nanoseconds>(until - std::chrono::steady_clock::now(), {}, kLongest);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(wait.count(), GPR_TIMESPAN));
}

void Complete(void* completion, bool ok) { static_cast<Completion*>(completion)->OnCompleted(ok); }

}  // namespace

CompletionPoller::~CompletionPoller() {
  queue_->Shutdown();
  void* completion = nullptr;
  bool ok = false;
  while (queue_->Next(&completion, &ok)) Complete(completion, ok);
}

std::shared_ptr<CompletionPoller> CompletionPoller::Of(ThreadExecutor& executor) {
  if (const std::shared_ptr<Poller> present = executor.poller()) {
    auto poller = std::dynamic_pointer_cast<CompletionPoller>(present);
    POTLUCK_CHECK(poller != nullptr);
    return poller;
  }
  auto poller = std::make_shared<CompletionPoller>(std::make_shared<grpc::CompletionQueue>());
  executor.SetPoller(poller);
  return poller;
}

void CompletionPoller::WaitUntil(std::chrono::steady_clock::time_point until) {
  void* completion = nullptr;
  bool ok = false;
  if (queue_->AsyncNext(&completion, &ok, DeadlineAt(until)) == grpc::CompletionQueue::GOT_EVENT)
    Complete(completion, ok);
}

void CompletionPoller::Wake() {
  if (waking_.exchange(true)) return;
  alarm_.Set(queue_.get(), gpr_time_0(GPR_CLOCK_MONOTONIC), &woken_);
}

void CompletionPoller::OnWoken(bool /*ok*/) { waking_ = false; }

PolledElsewhere::PolledElsewhere(CompletionPoller& poller)
    : poller_(poller), thread_([this] {
        while (!done_) poller_.WaitUntil(std::chrono::steady_clock::now() + kLongest);
      }) {}

PolledElsewhere::~PolledElsewhere() {
  done_ = true;
  poller_.Wake();
  thread_.join();
}

}  // namespace potluck::wire
