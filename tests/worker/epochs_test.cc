// Prepare, Fence, Commit, Release: each step, each repetition, each thing that comes too late.

#include <gtest/gtest.h>

#include "tests/worker/worker_world.h"

namespace potluck::worker {
namespace {

class EpochsTest : public ::testing::Test {
 protected:
  EpochsTest() { world_.Run(); }
  std::vector<wire::Prepared> AllPrepared() { return world_.Control("w1").All<wire::Prepared>(); }
  std::vector<wire::Fenced> AllFenced() { return world_.Control("w1").All<wire::Fenced>(); }
  std::vector<wire::Committed> AllCommitted() {
    return world_.Control("w1").All<wire::Committed>();
  }

  WorkerWorld world_;
  SimulatedWorker& worker_ = world_.AddWorker("w1");
  const absl::Duration kMoment = absl::Milliseconds(20);
};

TEST_F(EpochsTest, PrepareLoadsTellsItsProgressAndIsIdempotent) {
  world_.Run();
  const wire::Prepare prepare = WorkerWorld::PrepareFor(1, 1, {"w1"}, 0);
  world_.Say("w1", prepare);
  world_.Say("w1", prepare);
  world_.Run();
  EXPECT_EQ(worker_.loader->num_loads, 1);
  EXPECT_EQ(world_.Control("w1").All<wire::PrepareProgress>().size(), 1u);
  ASSERT_EQ(AllPrepared().size(), 1u);
  EXPECT_TRUE(AllPrepared()[0].status.ok());
  world_.Say("w1", prepare);
  world_.Run(kMoment);
  EXPECT_EQ(AllPrepared().size(), 2u);
  EXPECT_EQ(worker_.loader->num_loads, 1);
}

TEST_F(EpochsTest, ANewerEpochCancelsAnOlderThatLoadsAndOlderOnesAreDropped) {
  world_.Run();
  world_.Say("w1", WorkerWorld::PrepareFor(1, 1, {"w1"}, 0));
  world_.Run(kMoment);
  world_.Say("w1", WorkerWorld::PrepareFor(1, 3, {"w1"}, 0));
  world_.Run(kMoment);
  world_.Say("w1", WorkerWorld::PrepareFor(1, 2, {"w1"}, 0));
  world_.Run();
  ASSERT_EQ(AllPrepared().size(), 1u);
  EXPECT_EQ(AllPrepared()[0].epoch.number, 3);
  EXPECT_EQ(worker_.loader->logs.size(), 1u);
}

TEST_F(EpochsTest, WhatAnOvertakenEpochHasLoadedServesTheNextOne) {
  world_.Run();
  world_.Begin(1, 1, {"w1"});
  wire::Prepare wider = WorkerWorld::PrepareFor(1, 2, {"w1"}, 0);
  wider.range.last_cut = 6;
  world_.Say("w1", wider);
  world_.Run();
  EXPECT_EQ(worker_.loader->num_loads, 2);
  wider.epoch.number = 3;
  world_.Say("w1", wider);
  world_.Run(kMoment);
  EXPECT_EQ(AllPrepared().size(), 3u) << "nothing is loaded again";
  EXPECT_EQ(worker_.loader->num_loads, 2);
  // Other layers: what has been loaded makes room first.
  wider.epoch.number = 4;
  wider.range.last_cut = 8;
  world_.Say("w1", wider);
  world_.Run(kMoment);
  EXPECT_EQ(worker_.loader->logs[1]->alive, 0);
  EXPECT_EQ(worker_.loader->logs[0]->alive, 1) << "it serves";
  world_.Run();
  world_.Say("w1", WorkerWorld::CommitFor(1, 4));
  world_.Run();
  EXPECT_TRUE(AllCommitted().back().status.ok());
  EXPECT_EQ(worker_.loader->NumAlive(), 1);
  EXPECT_EQ(worker_.loader->NumLoading(), 0);
}

TEST_F(EpochsTest, TwoStagesWithTheSameLayersAreRefused) {
  world_.Run();
  wire::Prepare twin = WorkerWorld::PrepareFor(1, 1, {"w1", "w1"}, 1);
  twin.range = {0, 2};
  world_.Say("w1", WorkerWorld::PrepareFor(1, 1, {"w1", "w1"}, 0));
  world_.Say("w1", twin);
  world_.Run();
  ASSERT_EQ(AllPrepared().size(), 2u);
  EXPECT_EQ(AllPrepared()[0].stage, 1);
  EXPECT_EQ(AllPrepared()[0].status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(AllPrepared()[1].status.ok());
}

TEST_F(EpochsTest, AFailedLoadIsToldAndTheWorkerLivesOn) {
  world_.Run();
  worker_.loader->error = absl::ResourceExhaustedError("no memory");
  world_.Say("w1", WorkerWorld::PrepareFor(1, 1, {"w1"}, 0));
  world_.Run();
  ASSERT_EQ(AllPrepared().size(), 1u);
  EXPECT_EQ(AllPrepared()[0].status.message(), "no memory");
  world_.Say("w1", WorkerWorld::CommitFor(1, 1));
  world_.Run();
  ASSERT_EQ(AllCommitted().size(), 1u);
  EXPECT_EQ(AllCommitted()[0].status.code(), absl::StatusCode::kFailedPrecondition);
  worker_.loader->error = absl::OkStatus();
  world_.Begin(1, 2, {"w1"});
  EXPECT_TRUE(AllCommitted().back().status.ok());
}

TEST_F(EpochsTest, TheOldEpochServesWhileTheNewOneLoads) {
  world_.Run();
  world_.Begin(1, 1, {"w1"});
  wire::Prepare wider = WorkerWorld::PrepareFor(1, 2, {"w1"}, 0);
  wider.range.last_cut = 6;
  world_.Say("w1", wider);
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  world_.Run(absl::Milliseconds(50));
  EXPECT_TRUE(world_.Control("w1").All<wire::Prepared>().size() == 1u) << "still loading";
  EXPECT_EQ(world_.Results("w1").size(), 1u);
  world_.Run();
  world_.Say("w1", wire::Fence{.instance = 1, .epoch = {1, 2}});
  world_.Say("w1", WorkerWorld::CommitFor(1, 2, {{40, 1}}));
  world_.Run();
  ASSERT_EQ(AllCommitted().size(), 2u);
  EXPECT_EQ(AllCommitted()[1].held[0].length, 0) << "other layers: nothing is held";
  ASSERT_EQ(worker_.loader->logs.size(), 2u);
  EXPECT_EQ(worker_.loader->logs[0]->alive, 0) << "the old stage is freed";
}

TEST_F(EpochsTest, TheFenceDropsWhatWaitsAndWaitsForWhatRuns) {
  world_.Run();
  worker_.loader->pace.step = absl::Milliseconds(200);
  world_.Begin(1, 1, {"w1"});
  world_.Run();
  for (int i = 0; i < 6; ++i)
    world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, i + 1, 40, i));
  world_.Run(absl::Milliseconds(100));
  world_.Say("w1", wire::Fence{.instance = 1, .epoch = {1, 2}});
  world_.Run(kMoment);
  EXPECT_TRUE(AllFenced().empty()) << "a step still runs";
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, 7, 40, 6));
  world_.Run();
  ASSERT_EQ(AllFenced().size(), 1u);
  EXPECT_EQ(AllFenced()[0].epoch.number, 2);
  EXPECT_TRUE(world_.Results("w1").empty());
  EXPECT_LE(worker_.loader->logs[0]->num_run, 2);
  world_.Say("w1", wire::Fence{.instance = 1, .epoch = {1, 2}});
  world_.Run(kMoment);
  EXPECT_EQ(AllFenced().size(), 2u);
  EXPECT_EQ(worker_.worker->num_dropped_frames(), 1);
}

TEST_F(EpochsTest, FencesOfWhatIsNotHereAreAnswered) {
  world_.Run();
  world_.Say("w1", wire::Fence{.instance = 9, .epoch = {1, 2}});
  world_.Say("w1", WorkerWorld::CommitFor(9, 2));
  world_.Run();
  EXPECT_EQ(AllFenced().size(), 1u);
  ASSERT_EQ(AllCommitted().size(), 1u);
  EXPECT_FALSE(AllCommitted()[0].status.ok());
}

TEST_F(EpochsTest, CommitKeepsWhatIsNamedTellsItAgainAndNumbersRestart) {
  world_.Run();
  world_.Begin(1, 1, {"w1"});
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, 1, 40, 0, 10));
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, 2, 41, 0, 4));
  world_.Run();
  world_.Begin(1, 2, {"w1"}, wire::HopKind::kUpstreamDials, {{40, 7}, {42, 3}});
  ASSERT_EQ(AllCommitted().size(), 2u);
  const std::vector<wire::SequenceLength> held = AllCommitted()[1].held;
  ASSERT_EQ(held.size(), 2u);
  EXPECT_EQ(held[0].length, 7);
  EXPECT_EQ(held[1].length, 0);
  EXPECT_EQ(worker_.loader->logs[0]->Length(41), -1);
  world_.Say("w1", WorkerWorld::CommitFor(1, 2, {{40, 1}}));
  world_.Run(kMoment);
  ASSERT_EQ(AllCommitted().size(), 3u);
  EXPECT_EQ(AllCommitted()[2].held.size(), 2u) << "what was told before";
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 2, 1, 40, 7));
  world_.Run();
  EXPECT_EQ(world_.Results("w1").back().epoch.number, 2);
  EXPECT_TRUE(world_.Results("w1").back().status.ok());
  world_.Say("w1", WorkerWorld::CommitFor(1, 1));
  world_.Run(kMoment);
  EXPECT_EQ(AllCommitted().size(), 3u) << "an older epoch is dropped";
}

TEST_F(EpochsTest, ReleaseFreesAndLateMessagesOfThatEpochAreDropped) {
  world_.Run();
  world_.Begin(1, 1, {"w1"});
  EXPECT_EQ(worker_.loader->logs[0]->alive, 1);
  world_.Say("w1", wire::Release{.instance = 1, .epoch = {1, 1}});
  world_.Say("w1", WorkerWorld::PrepareFor(1, 1, {"w1"}, 0));
  world_.Run();
  EXPECT_EQ(worker_.loader->logs[0]->alive, 0);
  EXPECT_EQ(worker_.loader->num_loads, 1);
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  world_.Run(kMoment);
  EXPECT_EQ(worker_.worker->num_dropped_frames(), 1);
  EXPECT_FALSE(world_.Data("w1").closed);
  world_.Say("w1", WorkerWorld::PrepareFor(1, 2, {"w1"}, 0));
  world_.Run();
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, 2, 40, 1));
  world_.Run(kMoment);
  EXPECT_EQ(worker_.worker->num_dropped_frames(), 2) << "late, and no nonsense";
  EXPECT_FALSE(world_.Data("w1").closed);
  world_.Say("w1", WorkerWorld::CommitFor(1, 2));
  world_.Run();
  EXPECT_TRUE(AllCommitted().back().status.ok());
  EXPECT_EQ(worker_.loader->num_loads, 2);
}

TEST_F(EpochsTest, ReleaseOfWhatServesKeepsWhatANewerEpochLoads) {
  world_.Run();
  world_.Begin(1, 1, {"w1"});
  wire::Prepare wider = WorkerWorld::PrepareFor(1, 2, {"w1"}, 0);
  wider.range.last_cut = 6;
  world_.Say("w1", wider);
  world_.Run(kMoment);
  world_.Say("w1", wire::Release{.instance = 1, .epoch = {1, 1}});
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  world_.Run();
  EXPECT_EQ(worker_.worker->num_dropped_frames(), 1);
  EXPECT_FALSE(world_.Data("w1").closed);
  EXPECT_EQ(worker_.loader->logs[0]->alive, 0);
  world_.Say("w1", WorkerWorld::CommitFor(1, 2));
  world_.Run();
  EXPECT_TRUE(AllCommitted().back().status.ok());
}

TEST_F(EpochsTest, AFrameOfAnEpochThatHasNotBegunIsNonsense) {
  world_.Run();
  world_.Begin(1, 1, {"w1"});
  world_.Say("w1", WorkerWorld::PrepareFor(1, 2, {"w1"}, 0));
  world_.Run();
  HeldLink& data = world_.Data("w1");
  data.link->Send(WorkerWorld::FrameFor(1, 2, 1, 40, 0));
  world_.Run();
  EXPECT_EQ(data.status.code(), absl::StatusCode::kInvalidArgument);
}

// Of a stage that is new, ahead of its epoch's commit.
wire::StageFrame ReplayFor(int64_t epoch, int64_t number, int32_t position, int32_t count) {
  wire::StageFrame frame = WorkerWorld::FrameFor(1, epoch, number, 40, position, count);
  frame.step.tokens.back().wanted = model::Wanted::kNothing;
  frame.replaying = {0};
  return frame;
}

TEST_F(EpochsTest, ANewStageIsFilledWhileTheOldOneServes) {
  world_.Run();
  world_.Begin(1, 1, {"w1"});
  wire::Prepare wider = WorkerWorld::PrepareFor(1, 2, {"w1"}, 0);
  wider.range.last_cut = 6;
  world_.Say("w1", wider);
  world_.Run();
  wire::Link& data = *world_.Data("w1").link;
  data.Send(WorkerWorld::FrameFor(1, 1, 1, 40, 0, 3));
  data.Send(ReplayFor(2, 1, 0, 2));
  data.Send(WorkerWorld::FrameFor(1, 1, 2, 40, 3));
  world_.Run(absl::Milliseconds(100));
  EXPECT_EQ(worker_.loader->logs[0]->Length(40), 4);
  EXPECT_EQ(worker_.loader->logs[1]->Length(40), 2);
  EXPECT_EQ(world_.Results("w1").size(), 3u);
  world_.Say("w1", wire::Fence{.instance = 1, .epoch = {1, 2}});
  world_.Say("w1", WorkerWorld::CommitFor(1, 2, {{40, 4}}));
  world_.Run();
  EXPECT_EQ(AllCommitted().back().held[0].length, 2);
  data.Send(WorkerWorld::FrameFor(1, 2, 2, 40, 2, 2));
  world_.Run();
  EXPECT_EQ(worker_.loader->logs[1]->Length(40), 4) << "numbers go on";
}

TEST_F(EpochsTest, AStageThatServesSaysWhatItHoldsAndComputesNothingAhead) {
  world_.Run();
  world_.Begin(1, 1, {"w1"});
  wire::Link& data = *world_.Data("w1").link;
  data.Send(WorkerWorld::FrameFor(1, 1, 1, 40, 0, 3));
  world_.Run();
  world_.Say("w1", WorkerWorld::PrepareFor(1, 2, {"w1"}, 0));
  world_.Run();
  ASSERT_EQ(AllPrepared().back().held.size(), 1u);
  EXPECT_EQ(AllPrepared().back().held[0].sequence, 40);
  EXPECT_EQ(AllPrepared().back().held[0].length, 3);
  data.Send(ReplayFor(2, 1, 0, 2));
  world_.Run();
  EXPECT_TRUE(absl::IsFailedPrecondition(world_.Results("w1").back().status));
  EXPECT_EQ(worker_.loader->logs[0]->Length(40), 3);
}

TEST_F(EpochsTest, ReleaseWhileItLoadsCancels) {
  world_.Run();
  world_.Say("w1", WorkerWorld::PrepareFor(1, 1, {"w1"}, 0));
  world_.Run(kMoment);
  world_.Say("w1", wire::Release{.instance = 1, .epoch = {1, 1}});
  world_.Run();
  EXPECT_TRUE(AllPrepared().empty());
  EXPECT_TRUE(worker_.loader->logs.empty());
}

TEST_F(EpochsTest, TwoInstancesDoNotTouchEachOther) {
  world_.Run();
  world_.Begin(1, 5, {"w1"});
  world_.Begin(2, 1, {"w1"});
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 5, 1, 40, 0, 3));
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(2, 1, 1, 40, 0, 8));
  world_.Run();
  EXPECT_EQ(worker_.loader->logs[0]->Length(40), 3);
  EXPECT_EQ(worker_.loader->logs[1]->Length(40), 8);
  world_.Say("w1", wire::Release{.instance = 2, .epoch = {1, 1}});
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 5, 2, 40, 3));
  world_.Run();
  EXPECT_EQ(worker_.loader->logs[0]->Length(40), 4);
  EXPECT_EQ(worker_.loader->logs[1]->alive, 0);
}

TEST_F(EpochsTest, AbsurdPlansAreRefusedInWords) {
  world_.Run();
  wire::Prepare absurd = WorkerWorld::PrepareFor(1, 1, {"w1"}, 0);
  absurd.num_stages = -4;
  world_.Say("w1", absurd);
  absurd = WorkerWorld::PrepareFor(1, 1, {"w1"}, 0);
  absurd.range = {5, 5};
  world_.Say("w1", absurd);
  absurd = WorkerWorld::PrepareFor(1, 1, {"w1"}, 0);
  absurd.kv_capacity = int64_t{1} << 62;
  world_.Say("w1", absurd);
  world_.Run();
  ASSERT_EQ(AllPrepared().size(), 3u);
  for (const wire::Prepared& prepared : AllPrepared())
    EXPECT_EQ(prepared.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(worker_.loader->num_loads, 0);
}

TEST_F(EpochsTest, NewerFencesReplaceOlderOnesThatStillWait) {
  world_.Run();
  worker_.loader->pace.step = absl::Milliseconds(200);
  world_.Begin(1, 1, {"w1"});
  world_.Run();
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  world_.Run(absl::Milliseconds(100));
  world_.Say("w1", wire::Fence{.instance = 1, .epoch = {1, 2}});
  world_.Say("w1", wire::Fence{.instance = 1, .epoch = {1, 3}});
  world_.Say("w1", wire::Fence{.instance = 1, .epoch = {1, 2}});
  world_.Run();
  ASSERT_EQ(AllFenced().size(), 1u);
  EXPECT_EQ(AllFenced()[0].epoch.number, 3);
}

TEST_F(EpochsTest, ThereIsABoundOnInstances) {
  world_.Run();
  for (size_t i = 0; i <= Worker::kMostInstances; ++i)
    world_.Say("w1", WorkerWorld::PrepareFor(static_cast<int64_t>(i), 1, {"w1"}, 0));
  HeldLink& link = world_.Control("w1");
  world_.Run();
  EXPECT_TRUE(link.closed);
  EXPECT_EQ(link.status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace potluck::worker
