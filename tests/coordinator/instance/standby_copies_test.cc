#include "coordinator/instance/standby_copies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace potluck::coordinator {
namespace {

using partition::CopyState;
using testing::ElementsAre;
using testing::IsEmpty;

const LayersAt kDesk = {"desk", 0, 9}, kPi = {"pi", 10, 21};
constexpr absl::Duration kStart = absl::Seconds(5);

class StandbyCopiesTest : public testing::Test {
 protected:
  // The state of the only one that is known.
  CopyState State(absl::Duration now) {
    const auto known = copies_.Known(now);
    EXPECT_EQ(known.size(), 1u);
    return known.empty() ? CopyState::kComing : known[0].state;
  }
  StandbyCopies copies_;
};

TEST_F(StandbyCopiesTest, AreAskedForOnceAndLookedAfter) {
  EXPECT_THAT(copies_.Want({kDesk, kPi}, kStart), ElementsAre(kDesk, kPi));
  EXPECT_THAT(copies_.Want({kDesk, kPi}, kStart + absl::Seconds(1)), IsEmpty());
  const auto known = copies_.Known(kStart);
  ASSERT_EQ(known.size(), 2u);
  EXPECT_EQ(known[0].worker_id, "desk");
  EXPECT_EQ(known[0].first, 0);
  EXPECT_EQ(known[0].end, 10);
  EXPECT_EQ(known[0].state, CopyState::kComing);

  // An answer may be lost.
  const absl::Duration later = kStart + StandbyCopies::kLookAfter;
  EXPECT_TRUE(copies_.OnEnded(kPi, absl::OkStatus(), kStart + absl::Minutes(1)));
  EXPECT_THAT(copies_.Want({kDesk, kPi}, later), ElementsAre(kDesk));
  EXPECT_THAT(copies_.Want({kDesk, kPi}, later + absl::Minutes(1)), ElementsAre(kPi));
  EXPECT_FALSE(copies_.OnEnded(kPi, absl::OkStatus(), later + absl::Minutes(1)));
  copies_.LookAfterAll();
  EXPECT_THAT(copies_.Want({kDesk, kPi}, later + absl::Minutes(1)), ElementsAre(kDesk, kPi));
}

TEST_F(StandbyCopiesTest, WhatCouldNotBeKeptIsTriedAgainLater) {
  copies_.Want({kPi}, kStart);
  EXPECT_TRUE(copies_.OnEnded(kPi, absl::OkStatus(), kStart));
  EXPECT_EQ(State(kStart), CopyState::kOnDisk);
  EXPECT_TRUE(copies_.OnEnded(kPi, absl::ResourceExhaustedError("the disk is full"), kStart));
  EXPECT_EQ(State(kStart), CopyState::kFailed);
  // Also where the next plan does without it.
  EXPECT_THAT(copies_.Want({}, kStart + absl::Seconds(1)), IsEmpty());
  EXPECT_EQ(State(kStart + absl::Seconds(2)), CopyState::kFailed);
  EXPECT_THAT(copies_.Want({kPi}, kStart + absl::Seconds(3)), IsEmpty());

  const absl::Duration again = kStart + StandbyCopies::kTryAgain;
  EXPECT_THAT(copies_.Known(again), IsEmpty());
  EXPECT_THAT(copies_.Want({kPi}, again), ElementsAre(kPi));
  EXPECT_EQ(State(again), CopyState::kComing);
}

TEST_F(StandbyCopiesTest, WhatNobodyWantsIsForgotten) {
  copies_.Want({kDesk, kPi}, kStart);
  copies_.Want({kDesk}, kStart);
  EXPECT_EQ(copies_.Known(kStart).size(), 1u);
  EXPECT_FALSE(copies_.OnEnded(kPi, absl::OkStatus(), kStart));
  copies_.Forget("desk");
  EXPECT_THAT(copies_.Known(kStart), IsEmpty());
  EXPECT_THAT(copies_.Want({kDesk}, kStart), ElementsAre(kDesk));
}

}  // namespace
}  // namespace potluck::coordinator
