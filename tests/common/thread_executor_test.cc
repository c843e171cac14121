#include "common/thread_executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

namespace potluck {
namespace {

TEST(ThreadExecutorTest, RunsTasksInTheOrderOfPosting) {
  ThreadExecutor executor;
  std::vector<int> order;
  for (int i = 0; i < 1000; ++i) executor.Post([&order, i] { order.push_back(i); });
  executor.RunAndWait([] {});
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[i], i);
}

TEST(ThreadExecutorTest, TasksOfManyThreadsNeverOverlap) {
  ThreadExecutor executor;
  int count = 0;  // without a lock: the thread sanitizer sees if two tasks overlap
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) executor.Post([&count] { ++count; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  executor.RunAndWait([&] { EXPECT_EQ(count, 8000); });
}

// Events are told by Add, and dealt with where the executor's thread waits.
class FakePoller final : public Poller {
 public:
  void Add() {
    MutexLock lock(mutex_);
    ++events_;
    changed_.NotifyAll();
  }
  void WaitUntil(std::chrono::steady_clock::time_point until) override {
    MutexLock lock(mutex_);
    while (events_ == 0 && !std::exchange(woken_, false)) {
      if (!changed_.WaitUntil(mutex_, until)) return;
    }
    if (events_ == 0) return;
    --events_;
    dealt_with.push_back(std::this_thread::get_id());
  }
  void Wake() override {
    MutexLock lock(mutex_);
    woken_ = true;
    changed_.NotifyAll();
  }

  std::vector<std::thread::id> dealt_with;  // of the thread that polls

 private:
  Mutex mutex_;
  Condition changed_;
  int events_ ABSL_GUARDED_BY(mutex_) = 0;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST(ThreadExecutorTest, PollsWhereItHasNoTask) {
  ThreadExecutor executor;
  const auto poller = std::make_shared<FakePoller>();
  std::thread::id own;
  executor.RunAndWait([&] {
    own = std::this_thread::get_id();
    executor.SetPoller(poller);
  });
  for (int i = 1; i <= 3; ++i) {
    poller->Add();
    size_t count = 0;
    while (count < static_cast<size_t>(i))
      executor.RunAndWait([&] { count = poller->dealt_with.size(); });
  }
  executor.RunAndWait([&] {
    for (const std::thread::id& thread : poller->dealt_with) EXPECT_EQ(thread, own);
  });
  // Timers end the waiting, too.
  std::latch due(1);
  executor.PostAfter(absl::Milliseconds(5), [&] { due.count_down(); });
  due.wait();
}

TEST(ThreadExecutorTest, PollsAlsoUnderTasksWithoutEnd) {
  const auto poller = std::make_shared<FakePoller>();
  std::atomic<bool> enough = false;
  std::function<void()> again;
  ThreadExecutor executor;
  again = [&] {
    if (!enough) executor.Post(again);
  };
  executor.RunAndWait([&] { executor.SetPoller(poller); });
  executor.Post(again);
  poller->Add();
  size_t count = 0;
  while (count == 0) executor.RunAndWait([&] { count = poller->dealt_with.size(); });
  enough = true;
}

TEST(ThreadExecutorTest, GoesOnWithoutAPollerThatIsGone) {
  ThreadExecutor executor;
  auto poller = std::make_shared<FakePoller>();
  executor.RunAndWait([&] { executor.SetPoller(poller); });
  executor.RunAndWait([&] { poller.reset(); });
  // Who has just posted may keep it for a moment more.
  bool gone = false;
  while (!gone) executor.RunAndWait([&] { gone = executor.poller() == nullptr; });
}

TEST(ThreadExecutorTest, AnOverdueTimerDoesNotOvertakeWhatCameBeforeItsTime) {
  ThreadExecutor executor;
  std::vector<int> order;
  executor.RunAndWait([&] {
    executor.Post([&] { order.push_back(0); });
    executor.PostAfter(absl::Milliseconds(1), [&] { order.push_back(1); });
    const absl::Duration due = executor.clock().SinceStart() + absl::Milliseconds(1);
    while (executor.clock().SinceStart() <= due) continue;  // the executor is held up
    executor.Post([&] { order.push_back(2); });
  });
  executor.RunAndWait([] {});
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
}

TEST(ThreadExecutorTest, DelayedTasksRunByTimeThenByOrder) {
  ThreadExecutor executor;
  std::vector<int> order;
  std::latch done(1);
  // Posted by one task, so that none is due before the last is there.
  executor.Post([&] {
    executor.PostAfter(absl::Milliseconds(30), [&] {
      order.push_back(4);
      done.count_down();
    });
    executor.PostAfter(absl::Milliseconds(1), [&] { order.push_back(2); });
    executor.PostAfter(absl::ZeroDuration(), [&] { order.push_back(0); });
    executor.PostAfter(-absl::Seconds(1), [&] { order.push_back(1); });
    executor.PostAfter(absl::Milliseconds(20), [&] { order.push_back(3); });
  });
  done.wait();
  std::vector<int> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(order, sorted);
  EXPECT_EQ(order.size(), 5u);
}

TEST(ThreadExecutorTest, NoTaskRunsBeforeItsTime) {
  ThreadExecutor executor;
  std::latch done(1);
  const absl::Duration start = executor.clock().SinceStart();
  absl::Duration ran;
  executor.PostAfter(absl::Milliseconds(20), [&] {
    ran = executor.clock().SinceStart();
    done.count_down();
  });
  done.wait();
  EXPECT_GE(ran - start, absl::Milliseconds(20));
}

TEST(ThreadExecutorTest, TasksPostTasks) {
  ThreadExecutor executor;
  std::latch done(1);
  std::function<void(int)> again = [&](int left) {
    if (left == 0) return done.count_down();
    executor.Post([&again, left] { again(left - 1); });
  };
  executor.Post([&] { again(100); });
  done.wait();
}

TEST(ThreadExecutorTest, StoppingDestroysWhatWaitsWithoutRunningIt) {
  std::atomic<int> ran = 0;
  auto alive = std::make_shared<int>(0);
  {
    ThreadExecutor executor;
    std::latch entered(1), leave(1);
    executor.Post([&] {
      entered.count_down();
      leave.wait();
    });
    entered.wait();
    // Its destructor posts once more, to an executor that has stopped.
    struct PostsWhenDestroyed {
      ThreadExecutor* executor;
      std::atomic<int>* ran;
      ~PostsWhenDestroyed() {
        executor->Post([ran = ran] { ++*ran; });
      }
    };
    std::unique_ptr<PostsWhenDestroyed> poster(new PostsWhenDestroyed{&executor, &ran});
    executor.PostAfter(absl::InfiniteDuration(), [&ran, alive] { ++ran; });
    executor.PostAfter(absl::Hours(1), [&ran, alive, poster = std::move(poster)] { ++ran; });
    std::thread release([&] { leave.count_down(); });
    release.join();
  }
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(alive.use_count(), 1);
}

TEST(ThreadExecutorTest, ACancelledTimerNeverRuns) {
  ThreadExecutor executor;
  int cancelled = 0, started = 0;
  std::latch done(1);
  std::unique_ptr<Timer> first, second;
  executor.Post([&] {
    first = std::make_unique<Timer>(executor);
    second = std::make_unique<Timer>(executor);
    first->Start(absl::Milliseconds(1), [&] { ++cancelled; });
    second->Start(absl::Milliseconds(1), [&] { ++cancelled; });
    second->Start(absl::Milliseconds(5), [&] {
      ++started;
      done.count_down();
    });
    first->Cancel();
  });
  done.wait();
  executor.RunAndWait([&] {
    EXPECT_EQ(cancelled, 0);
    EXPECT_EQ(started, 1);
    first.reset();
    second.reset();
  });
}

}  // namespace
}  // namespace potluck
