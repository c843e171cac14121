#include "coordinator/membership/patience.h"

#include <gtest/gtest.h>

namespace potluck::coordinator {
namespace {

class PatienceTest : public ::testing::Test {
 protected:
  // What a member may be silent for, after such a pause.
  absl::Duration After(absl::Duration pause) {
    now_ += pause;
    patience_.Note(now_, pause);
    EXPECT_EQ(patience_.lost_after(), patience_.suspect_after() + absl::Seconds(1));
    return patience_.suspect_after();
  }
  void BeatFor(absl::Duration period) {
    for (; period > absl::ZeroDuration(); period -= absl::Milliseconds(500))
      After(absl::Milliseconds(500));
  }

  Patience patience_;
  absl::Duration now_;
};

TEST_F(PatienceTest, StaysAsItIsOnAnEvenLink) {
  for (int i = 0; i < 2000; ++i)
    ASSERT_EQ(After(absl::Milliseconds(i % 2 == 0 ? 10 : 1590)), absl::Seconds(2));
}

TEST_F(PatienceTest, GrowsWithTheSecondLongestPause) {
  EXPECT_EQ(After(absl::Seconds(2.8)), absl::Seconds(2));
  EXPECT_EQ(After(absl::Seconds(2)), absl::Seconds(2.5));
  EXPECT_EQ(After(absl::Seconds(1)), absl::Seconds(2.5));
  EXPECT_EQ(After(absl::Seconds(2.4)), absl::Seconds(3));
  EXPECT_EQ(After(absl::Seconds(3.2)), absl::Seconds(3.5));
}

TEST_F(PatienceTest, HasABound) {
  for (int i = 0; i < 3; ++i) After(absl::Minutes(1));
  EXPECT_EQ(patience_.lost_after(), Patience::kLostAtMost);
}

TEST_F(PatienceTest, ForgetsWhatIsLongAgo) {
  After(absl::Seconds(2.4));
  BeatFor(absl::Minutes(3));
  EXPECT_EQ(After(absl::Seconds(2.4)), absl::Seconds(3));
  BeatFor(Patience::kRemembered - absl::Minutes(3));
  EXPECT_EQ(After(absl::Milliseconds(500)), absl::Seconds(2));
}

}  // namespace
}  // namespace potluck::coordinator
