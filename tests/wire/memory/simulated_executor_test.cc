#include "tests/testing/simulated_executor.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace potluck {
namespace {

class SimulatedExecutorTest : public ::testing::Test {
 protected:
  Executor::Task Note(const std::string& what) {
    return [this, what] { ran_.push_back(what); };
  }

  SimulatedTime time_;
  std::unique_ptr<SimulatedExecutor> a_ = time_.MakeExecutor(), b_ = time_.MakeExecutor();
  std::vector<std::string> ran_;
};

TEST_F(SimulatedExecutorTest, RunsByTimeThenByOrderOfPostingAcrossExecutors) {
  a_->PostAfter(absl::Seconds(2), Note("late"));
  b_->PostAfter(absl::Seconds(1), Note("first of a time"));
  a_->PostAfter(absl::Seconds(1), Note("second of a time"));
  a_->Post(Note("now"));
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(ran_, (std::vector<std::string>{"now", "first of a time", "second of a time"}));
  EXPECT_EQ(a_->clock().SinceStart(), absl::Seconds(1));
  EXPECT_TRUE(time_.RunNext());
  EXPECT_FALSE(time_.RunNext());
  EXPECT_EQ(time_.SinceStart(), absl::Seconds(2));
}

TEST_F(SimulatedExecutorTest, RunUntilStopsWhereItHoldsOrAtItsLimit) {
  a_->PostAfter(absl::Seconds(1), Note("one"));
  a_->PostAfter(absl::Seconds(3), Note("three"));
  EXPECT_TRUE(time_.RunUntil([&] { return ran_.size() == 1; }, absl::Seconds(2)));
  EXPECT_EQ(time_.SinceStart(), absl::Seconds(1));
  EXPECT_FALSE(time_.RunUntil([&] { return ran_.size() == 2; }, absl::Seconds(1)));
  EXPECT_EQ(time_.SinceStart(), absl::Seconds(2));
  EXPECT_FALSE(time_.RunUntil([] { return false; }, absl::Hours(1)));
}

TEST_F(SimulatedExecutorTest, StopDropsWhatIsPostedBeforeAndAfter) {
  a_->Post(Note("never"));
  b_->Post(Note("other"));
  a_->Stop();
  a_->Post(Note("never"));
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(ran_, std::vector<std::string>{"other"});
}

TEST_F(SimulatedExecutorTest, PausedTasksRunInTheirOrderOnceResumed) {
  a_->Pause();
  a_->PostAfter(absl::Seconds(1), Note("early"));
  a_->PostAfter(absl::Seconds(2), Note("late"));
  a_->PostAfter(absl::Seconds(9), Note("later"));
  time_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(ran_.empty());
  a_->Resume();
  time_.RunFor(absl::ZeroDuration());
  EXPECT_EQ(ran_, (std::vector<std::string>{"early", "late"}));
  EXPECT_EQ(time_.SinceStart(), absl::Seconds(5));
  time_.RunFor(absl::Seconds(4));
  EXPECT_EQ(ran_.size(), 3u);
}

TEST_F(SimulatedExecutorTest, CancelledTimersNeverRun) {
  Timer timer(*a_);
  timer.Start(absl::Seconds(1), Note("never"));
  timer.Start(absl::Seconds(2), Note("restarted"));
  time_.RunFor(absl::Seconds(3));
  EXPECT_EQ(ran_, std::vector<std::string>{"restarted"});
  timer.Start(absl::Seconds(1), Note("never"));
  timer.Cancel();
  time_.RunFor(absl::Seconds(3));
  EXPECT_EQ(ran_.size(), 1u);
}

uint64_t HashOf(absl::Duration second_delay) {
  SimulatedTime time;
  const auto a = time.MakeExecutor(), b = time.MakeExecutor();
  a->PostAfter(absl::Seconds(1), [] {});
  b->PostAfter(second_delay, [] {});
  time.RunFor(absl::Seconds(5));
  return time.trace_hash();
}

TEST(SimulatedTimeTest, TraceHashTellsRunsApart) {
  EXPECT_EQ(HashOf(absl::Seconds(2)), HashOf(absl::Seconds(2)));
  EXPECT_NE(HashOf(absl::Seconds(2)), HashOf(absl::Seconds(2) + absl::Nanoseconds(1)));
  EXPECT_NE(HashOf(absl::Seconds(2)), HashOf(absl::Milliseconds(500)));
}

}  // namespace
}  // namespace potluck
