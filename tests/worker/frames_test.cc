// Steps on their way down a pipeline: order, hops, links that break, peers that lie.

#include <gtest/gtest.h>

#include "tests/worker/worker_world.h"

namespace potluck::worker {
namespace {

using wire::HopKind;

class FramesTest : public ::testing::Test {
 protected:
  FramesTest() {
    world_.AddWorker("w1");
    world_.AddWorker("w2");
    world_.AddWorker("w3");
    world_.Run();
  }
  void Send(const wire::WorkerId& to, wire::StageFrame frame) {
    world_.Data(to).link->Send(std::move(frame));
  }
  PretendLog& Log(int worker, int which = 0) {
    return *world_.workers[worker]->loader->logs[which];
  }

  WorkerWorld world_;
};

TEST_F(FramesTest, GoDownThePipelineWhoeverDials) {
  for (const HopKind kind : {HopKind::kUpstreamDials, HopKind::kDownstreamDials}) {
    const int64_t instance = 1 + static_cast<int64_t>(kind);
    world_.Begin(instance, 1, {"w1", "w2", "w3"}, kind);
    Send("w1", WorkerWorld::FrameFor(instance, 1, 1, 40, 0, 5));
    Send("w1", WorkerWorld::FrameFor(instance, 1, 2, 40, 5));
    world_.Run();
    const auto results = world_.Results("w3");
    ASSERT_EQ(results.size(), 2u * static_cast<size_t>(instance));
    const wire::StepResult& result = results.back();
    EXPECT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.number, 2);
    ASSERT_EQ(result.tokens.size(), 1u);
    EXPECT_EQ(result.tokens[0].id, WordAfter(Text(6, 5)));
    EXPECT_EQ(result.tokens[0].position, 6);
    ASSERT_EQ(result.timings.size(), 3u);
    for (const auto& timing : result.timings) EXPECT_NEAR(timing.computing_seconds, 0.01, 1e-9);
    EXPECT_NEAR(result.timings[0].waiting_seconds, 0.01, 1e-6) << "behind the first step";
  }
}

TEST_F(FramesTest, RelayedHopsGoOverTheCoordinator) {
  world_.Begin(1, 1, {"w1", "w2"}, HopKind::kRelayed);
  Send("w1", WorkerWorld::FrameFor(1, 1, 1, 40, 0, 3));
  world_.Run();
  auto frames = world_.Data("w1").All<wire::StageFrame>();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].timings.size(), 1u);
  EXPECT_EQ(frames[0].hidden.size(), 3u);
  ASSERT_EQ(frames[0].commands.size(), 1u);
  Send("w2", frames[0]);
  world_.Run();
  ASSERT_EQ(world_.Results("w2").size(), 1u);
  EXPECT_TRUE(world_.Results("w2")[0].status.ok());
}

TEST_F(FramesTest, TwoStagesOfOneWorkerNeedNoLink) {
  world_.Begin(1, 1, {"w1", "w1", "w2"});
  Send("w1", WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  world_.Run();
  ASSERT_EQ(world_.Results("w2").size(), 1u);
  EXPECT_TRUE(world_.Results("w2")[0].status.ok());
  EXPECT_EQ(world_.Results("w2")[0].timings.size(), 3u);
}

TEST_F(FramesTest, AStepWhoseNextStageIsNotWhereThePlanSaysFails) {
  world_.Say("w1", WorkerWorld::PrepareFor(1, 1, {"w1", "w1"}, 0));
  world_.Run();
  world_.Say("w1", WorkerWorld::CommitFor(1, 1));
  world_.Run();
  Send("w1", WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  world_.Run();
  ASSERT_EQ(world_.Results("w1").size(), 1u);
  EXPECT_EQ(world_.Results("w1")[0].status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(FramesTest, ANeighbourThatCameBackElsewhereIsDialledThereAtOnce) {
  world_.Begin(1, 1, {"w1", "w2"});
  world_.workers[1]->transport->Vanish();
  world_.Run(absl::Minutes(5));  // by now it is dialled twice a minute
  SimulatedWorker& back = world_.AddWorker("w2", "w2:7081");
  world_.Run();
  wire::Prepare upstream = WorkerWorld::PrepareFor(1, 2, {"w1", "w2"}, 0);
  upstream.next.peer.addresses = {"w2:7081"};
  world_.Say("w1", upstream);
  world_.Say("w2", WorkerWorld::PrepareFor(1, 2, {"w1", "w2"}, 1));
  world_.Run();
  for (const char* worker : {"w1", "w2"}) world_.Say(worker, WorkerWorld::CommitFor(1, 2));
  world_.Run(absl::Milliseconds(100));
  Send("w1", WorkerWorld::FrameFor(1, 2, 1, 40, 0));
  world_.Run(absl::Milliseconds(100));
  ASSERT_EQ(world_.Results("w2").size(), 1u);
  EXPECT_TRUE(world_.Results("w2")[0].status.ok());
  EXPECT_EQ(back.num_joined, 1);
}

TEST_F(FramesTest, RepeatsAreIgnoredAndGapsFail) {
  world_.Begin(1, 1, {"w1"});
  Send("w1", WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  Send("w1", WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  Send("w1", WorkerWorld::FrameFor(1, 1, 3, 40, 2));
  world_.Run();
  const auto results = world_.Results("w1");
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].number, 3);
  EXPECT_EQ(results[0].status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(results[0].status.message().find("stage 1/1 on w1"), absl::string_view::npos);
  EXPECT_EQ(results[1].number, 1);
  EXPECT_TRUE(results[1].status.ok());
  EXPECT_EQ(Log(0).num_run, 1);
}

TEST_F(FramesTest, AFailedStepIsToldByItsStageAndGoesNoFurther) {
  world_.Begin(1, 1, {"w1", "w2"});
  Send("w1", WorkerWorld::FrameFor(1, 1, 1, 40, 5));  // a sequence that was never begun
  world_.Run();
  ASSERT_EQ(world_.Results("w1").size(), 1u);
  EXPECT_EQ(world_.Results("w1")[0].status.code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(world_.Results("w2").empty());
  EXPECT_EQ(Log(1).num_run, 0);
}

TEST_F(FramesTest, ABrokenHopIsToldDialledAgainAndFailsItsSteps) {
  world_.Begin(1, 1, {"w1", "w2"});
  world_.faults.cut_from = "w1";
  world_.faults.cut_to = "w2";
  world_.network.BreakLinks("w1", "w2", absl::UnavailableError("cable pulled"));
  world_.Run(absl::Milliseconds(100));
  for (const auto& [worker, peer] : {std::pair("w1", "w2"), std::pair("w2", "w1")}) {
    const auto lost = world_.Control(worker).All<wire::LinkLost>();
    ASSERT_EQ(lost.size(), 1u) << worker;
    EXPECT_EQ(lost[0].instance, 1);
    EXPECT_EQ(lost[0].peer, peer);
  }
  Send("w1", WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  world_.Run(absl::Milliseconds(100));
  ASSERT_EQ(world_.Results("w1").size(), 1u);
  EXPECT_EQ(world_.Results("w1")[0].status.code(), absl::StatusCode::kUnavailable);
  world_.faults.cut_from.clear();
  world_.Run(absl::Seconds(30));
  world_.Begin(1, 2, {"w1", "w2"});
  Send("w1", WorkerWorld::FrameFor(1, 2, 1, 41, 0));
  world_.Run();
  EXPECT_EQ(world_.Results("w2").size(), 1u);
}

// A hop that takes four seconds for a step's 4 MiB of rows.
class FullHopTest : public FramesTest {
 protected:
  static constexpr int kSteps = 10;
  // Two fill the link, and one was at the runner by then.
  static constexpr int kRun = 3;

  FullHopTest() {
    world_.workers[0]->loader->pace.padding = size_t{1} << 20;
    world_.Begin(1, 1, {"w1", "w2"});
    world_.faults.bytes_per_second = 1 << 20;
    for (int i = 0; i < kSteps; ++i) Send("w1", WorkerWorld::FrameFor(1, 1, i + 1, 40, i));
    world_.Run(absl::Seconds(2));
    EXPECT_EQ(Log(0).num_run, kRun);
  }
};

TEST_F(FullHopTest, HoldsStepsBackAndLosesNone) {
  world_.Run(absl::Minutes(1));
  const auto results = world_.Results("w2");
  ASSERT_EQ(results.size(), static_cast<size_t>(kSteps));
  for (int i = 0; i < kSteps; ++i) {
    EXPECT_EQ(results[i].number, i + 1);
    EXPECT_TRUE(results[i].status.ok()) << results[i].status;
  }
}

TEST_F(FullHopTest, WhatWaitsForALinkThatBreaksFails) {
  world_.faults.cut_from = "w1";
  world_.faults.cut_to = "w2";
  world_.network.BreakLinks("w1", "w2", absl::UnavailableError("cable pulled"));
  world_.Run();
  const auto results = world_.Results("w1");
  ASSERT_EQ(results.size(), static_cast<size_t>(kSteps - kRun));
  for (const auto& result : results)
    EXPECT_EQ(result.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(results.back().number, kSteps);
}

TEST_F(FramesTest, TooManyWaitingStepsFail) {
  world_.workers[0]->loader->pace.step = absl::Seconds(10);
  for (int32_t stage = 0; stage < 1; ++stage)
    world_.Say("w1", WorkerWorld::PrepareFor(1, 1, {"w1"}, stage));
  world_.Run();
  world_.Say("w1", WorkerWorld::CommitFor(1, 1));
  world_.Run(absl::Seconds(11));
  const int most = static_cast<int>(HostedStage::kMostWaitingFrames) + 2;  // two at the runner
  for (int i = 0; i < most + 1; ++i) Send("w1", WorkerWorld::FrameFor(1, 1, i + 1, 40, i));
  world_.Run();
  ASSERT_EQ(world_.Results("w1").size(), 1u);
  EXPECT_EQ(world_.Results("w1")[0].number, most + 1);
  EXPECT_EQ(world_.Results("w1")[0].status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(FramesTest, StaleEpochsAreDroppedSilently) {
  world_.Begin(1, 1, {"w1"});
  world_.Begin(1, 2, {"w1"});
  Send("w1", WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  world_.Run();
  EXPECT_TRUE(world_.Results("w1").empty());
  EXPECT_EQ(world_.workers[0]->worker->num_dropped_frames(), 1);
}

// What a peer that is no neighbour, or lies, does to a worker that holds a stage of instance 1.
class LyingPeerTest : public FramesTest {
 protected:
  LyingPeerTest() {
    world_.Begin(1, 1, {"w1", "w2"});
    Send("w1", WorkerWorld::FrameFor(1, 1, 1, 40, 0, 4));
    world_.Run();
    liar_ = world_.network.AddNode("liar", {"liar:1"}, *executor_);
    link_ = liar_->Dial("w2", {"w2:7080"}, wire::LinkKind::kData, handler_);
  }
  void Hello(const wire::WorkerId& from, const wire::WorkerId& to,
             const wire::Version& version = wire::OurVersion("test")) {
    link_->Send(wire::DataHello{.version = version, .from = from, .to = to});
  }
  void ExpectRefusedAndUntouched() {
    world_.Run();
    EXPECT_TRUE(handler_.closed);
    EXPECT_EQ(handler_.status.code(), absl::StatusCode::kInvalidArgument) << handler_.status;
    EXPECT_EQ(Log(1).Length(40), 4);
    Send("w1", WorkerWorld::FrameFor(1, 1, 2, 40, 4));
    world_.Run();
    ASSERT_EQ(world_.Results("w2").size(), 2u);
    EXPECT_TRUE(world_.Results("w2")[1].status.ok());
  }

  std::unique_ptr<SimulatedExecutor> executor_ = world_.time.MakeExecutor();
  std::unique_ptr<wire::MemoryTransport> liar_;
  HeldLink handler_;
  std::unique_ptr<wire::Link> link_;
};

TEST_F(LyingPeerTest, IsOfAnotherMajorVersion) {
  Hello("liar", "w2", {wire::kProtocolMajor + 1, 0, "9.0"});
  world_.Run();
  EXPECT_EQ(handler_.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(handler_.status.message().find("update potluck on worker w2"), absl::string_view::npos)
      << handler_.status;
}

TEST_F(LyingPeerTest, IsHonestAndOfAnOlderMinorVersion) {
  Hello("liar", "w2", {wire::kProtocolMajor, 0, "0.1.0"});
  world_.Run();
  EXPECT_FALSE(handler_.closed) << handler_.status;
}

TEST_F(LyingPeerTest, SendsFramesOfAnInstanceWhosePreviousStageItIsNot) {
  Hello("liar", "w2");
  wire::StageFrame frame = WorkerWorld::FrameFor(1, 1, 2, 40, 4);
  frame.commands.push_back(model::FreeCommand{40});
  frame.timings.resize(1);
  link_->Send(frame);
  ExpectRefusedAndUntouched();
}

TEST_F(LyingPeerTest, SaysThatItIsSomebodyElse) {
  Hello("w1", "w2");
  ExpectRefusedAndUntouched();
}

TEST_F(LyingPeerTest, SaysThatItIsTheCoordinator) {
  Hello(wire::kCoordinator, "w2");
  ExpectRefusedAndUntouched();
}

TEST_F(LyingPeerTest, MeansSomebodyElse) {
  Hello("liar", "w9");
  ExpectRefusedAndUntouched();
}

TEST_F(LyingPeerTest, SaysNoHello) {
  link_->Send(WorkerWorld::FrameFor(1, 1, 2, 40, 4));
  ExpectRefusedAndUntouched();
}

TEST_F(LyingPeerTest, SendsAPlanOnADataLink) {
  Hello("liar", "w2");
  link_->Send(wire::Release{.instance = 1, .epoch = {9, 9}});
  ExpectRefusedAndUntouched();
}

TEST_F(LyingPeerTest, SendsAnEpochThatNeverWas) {
  Hello("liar", "w2");
  wire::StageFrame frame = WorkerWorld::FrameFor(1, 77, 1, 40, 4);
  frame.timings.resize(1);
  link_->Send(frame);
  ExpectRefusedAndUntouched();
}

TEST_F(LyingPeerTest, SaysNothingAtAll) {
  world_.Run(absl::Seconds(11));
  EXPECT_EQ(handler_.status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(LyingPeerTest, MayPing) {
  Hello("liar", "w2");
  link_->Send(wire::Ping{.number = 3, .echo = true, .bytes = "abc"});
  world_.Run();
  const auto pongs = handler_.All<wire::Ping>();
  ASSERT_EQ(pongs.size(), 1u);
  EXPECT_EQ(pongs[0].number, 3);
  EXPECT_FALSE(pongs[0].echo);
  EXPECT_EQ(pongs[0].bytes, "abc");
}

TEST_F(LyingPeerTest, OpensMoreLinksThanThereIsRoomFor) {
  std::vector<HeldLink> handlers(DataLinks::kMostAccepted + 10);
  std::vector<std::unique_ptr<wire::Link>> links;
  for (HeldLink& handler : handlers)
    links.push_back(liar_->Dial("w2", {"w2:7080"}, wire::LinkKind::kData, handler));
  world_.Run();
  EXPECT_TRUE(handlers.back().closed);
  EXPECT_FALSE(handlers.front().closed);
  HeldLink control;
  const auto link = liar_->Dial("w2", {"w2:7080"}, wire::LinkKind::kControl, control);
  world_.Run();
  EXPECT_EQ(control.status.code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace potluck::worker
