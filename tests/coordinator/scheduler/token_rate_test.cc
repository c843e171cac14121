#include "coordinator/scheduler/token_rate.h"

#include <gtest/gtest.h>

namespace potluck::coordinator {
namespace {

TEST(TokenRateTest, IsTheRateOfTheLastSeconds) {
  TokenRate rate;
  EXPECT_EQ(rate.PerSecond(absl::ZeroDuration()), 0);
  const absl::Duration start = absl::Seconds(1000);
  for (int tenth = 0; tenth < 600; ++tenth) {
    const absl::Duration now = start + absl::Milliseconds(100) * tenth;
    rate.Note(now, 4);
    if (tenth >= 10) {
      EXPECT_NEAR(rate.PerSecond(now), 40, 5) << tenth;
    }
  }
  const absl::Duration end = start + absl::Seconds(60);
  EXPECT_NEAR(rate.PerSecond(end + absl::Seconds(5)), 20, 5);
  EXPECT_EQ(rate.PerSecond(end + absl::Seconds(TokenRate::kSeconds)), 0);
  rate.Note(end + absl::Minutes(5), 3);  // after a pause, nothing of before
  EXPECT_EQ(rate.PerSecond(end + absl::Minutes(5)), 3);
}

}  // namespace
}  // namespace potluck::coordinator
