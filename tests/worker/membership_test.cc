// Joining, heartbeats, coming back, leaving, and what is refused on a control link.

#include <gtest/gtest.h>

#include "tests/worker/worker_world.h"

namespace potluck::worker {
namespace {

using wire::LinkKind;

class MembershipTest : public ::testing::Test {
 protected:
  WorkerWorld world_;
};

TEST_F(MembershipTest, JoinsBeatsAndOpensItsDataLink) {
  world_.AddWorker("w1");
  world_.Run(absl::Milliseconds(2100));
  const auto hellos = world_.Control("w1").All<wire::WorkerHello>();
  ASSERT_EQ(hellos.size(), 1u);
  EXPECT_EQ(hellos[0].worker, "w1");
  EXPECT_EQ(hellos[0].process, 7u);
  const auto beats = world_.Control("w1").All<wire::Heartbeat>();
  ASSERT_EQ(beats.size(), 5u);
  for (size_t i = 0; i < beats.size(); ++i) EXPECT_EQ(beats[i].number, static_cast<int64_t>(i) + 1);
  const auto data = world_.Data("w1").All<wire::DataHello>();
  ASSERT_EQ(data.size(), 1u);
  EXPECT_EQ(data[0].from, "w1");
  EXPECT_EQ(data[0].to, wire::kCoordinator);
  for (const wire::Version& version : {hellos[0].version, data[0].version}) {
    EXPECT_EQ(version.major, wire::kProtocolMajor);
    EXPECT_EQ(version.minor, wire::kProtocolMinor);
    EXPECT_EQ(version.build, "test");
  }
}

TEST_F(MembershipTest, AnAddressThatHasChangedIsTold) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run(absl::Minutes(1));
  EXPECT_TRUE(worker.lost.empty());
  worker.address = "elsewhere:7080";
  world_.Run(absl::Seconds(12));
  EXPECT_EQ(worker.num_joined, 2);
  const auto hellos = world_.Control("w1").All<wire::WorkerHello>();
  ASSERT_EQ(hellos.size(), 1u);  // on the new link
  EXPECT_EQ(hellos[0].addresses, std::vector<std::string>{"elsewhere:7080"});
  world_.Run(absl::Minutes(1));
  EXPECT_EQ(worker.num_joined, 2);
}

TEST_F(MembershipTest, DialsForEverWithABackOffOfAtMostTenSeconds) {
  world_.coordinator_transport->Vanish();
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run(absl::Minutes(10));
  // 0.5 + 1 + 2 + 4 + 8 s, then 10 s each, all with up to half off.
  EXPECT_GE(worker.lost.size(), 5u + 58u);
  EXPECT_LE(worker.lost.size(), 7u + 120u);
  world_.coordinator_transport = world_.network.AddNode(wire::kCoordinator, {"coordinator:7071"},
                                                        *world_.coordinator_executor);
  world_.coordinator_transport->Listen(world_.coordinator);
  world_.Run(absl::Seconds(11));
  EXPECT_TRUE(worker.worker->joined());
}

TEST_F(MembershipTest, ACoordinatorThatNeverWelcomesIsDialledAgain) {
  world_.coordinator.welcomes = false;
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run(absl::Seconds(11));
  ASSERT_EQ(worker.lost.size(), 1u);
  EXPECT_EQ(worker.lost[0].code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(world_.coordinator.links.size(), 2u);
}

TEST_F(MembershipTest, OneThatAnsweredHeartbeatsAndFellSilentIsDialledAgain) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  world_.Run(absl::Minutes(1));  // this one never answered: the transport watches the link
  EXPECT_TRUE(worker.lost.empty());
  world_.Say("w1", wire::Ping{.number = 1, .echo = false, .bytes = ""});
  world_.Run(absl::Milliseconds(4900));
  EXPECT_TRUE(worker.lost.empty());
  world_.Run(absl::Seconds(1));
  ASSERT_EQ(worker.lost.size(), 1u);
  EXPECT_EQ(worker.lost[0].code(), absl::StatusCode::kUnavailable);
}

TEST_F(MembershipTest, AnotherMajorVersionIsSaidWithTheSideToUpdate) {
  world_.coordinator.welcomes = false;
  for (const int32_t major : {wire::kProtocolMajor - 1, wire::kProtocolMajor + 1}) {
    SimulatedWorker& worker = world_.AddWorker(absl::StrCat("w", major));
    world_.Run();
    wire::Welcome welcome = MakeWelcome();
    welcome.version.major = major;
    world_.coordinator.links.back()->link->Send(welcome);
    world_.Run(absl::Milliseconds(10));
    ASSERT_EQ(worker.lost.size(), 1u);
    EXPECT_EQ(worker.lost[0].code(), absl::StatusCode::kFailedPrecondition);
    const char* const older = major < wire::kProtocolMajor ? "the coordinator" : "this worker";
    EXPECT_NE(worker.lost[0].message().find(absl::StrCat("update potluck on ", older)),
              absl::string_view::npos)
        << worker.lost[0];
    world_.Kill(worker.id);
  }
}

TEST_F(MembershipTest, ACoordinatorOfAnOlderMinorVersionIsJoined) {
  world_.coordinator.welcomes = false;
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  wire::Welcome welcome = MakeWelcome();
  welcome.version = {wire::kProtocolMajor, 0, "0.1.0"};
  world_.coordinator.links[0]->link->Send(welcome);
  world_.Run(absl::Milliseconds(10));
  EXPECT_TRUE(worker.worker->joined());
}

TEST_F(MembershipTest, StagesAndTheirKvSurviveALostControlLink) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  world_.Begin(1, 1, {"w1"});
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, 1, 40, 0, 10));
  world_.Run();
  world_.network.BreakLinks("w1", wire::kCoordinator, absl::UnavailableError("cut"));
  world_.Run(absl::Seconds(2));
  EXPECT_EQ(worker.num_joined, 2);
  world_.Say("w1", WorkerWorld::PrepareFor(1, 2, {"w1"}, 0));
  world_.Run(absl::Milliseconds(50));
  ASSERT_EQ(world_.Control("w1").All<wire::Prepared>().size(), 1u);
  EXPECT_EQ(worker.loader->num_loads, 1);
  world_.Say("w1", WorkerWorld::CommitFor(1, 2, {{40, 8}}));
  world_.Run(absl::Milliseconds(50));
  const auto committed = world_.Control("w1").All<wire::Committed>();
  ASSERT_EQ(committed.size(), 1u);
  ASSERT_EQ(committed[0].held.size(), 1u);
  EXPECT_EQ(committed[0].held[0].length, 8);
}

TEST_F(MembershipTest, LeavesWhenItMayAndServesUntilThen) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  world_.Begin(1, 1, {"w1"});
  worker.worker->Leave();
  world_.Data("w1").link->Send(WorkerWorld::FrameFor(1, 1, 1, 40, 0));
  world_.Run();
  EXPECT_EQ(world_.Results("w1").size(), 1u);
  const auto leaving = world_.Control("w1").All<wire::Leaving>();
  ASSERT_EQ(leaving.size(), 1u);
  EXPECT_FALSE(leaving[0].hurry);
  EXPECT_FALSE(worker.left);
  world_.Say("w1", wire::MayLeave{});
  world_.Run();
  EXPECT_TRUE(worker.left);
  EXPECT_EQ(world_.coordinator.Find("w1", LinkKind::kControl), nullptr);
}

TEST_F(MembershipTest, LeavesAfterTheDrainTimeoutOrAtOnceWhenToldTwice) {
  SimulatedWorker& patient = world_.AddWorker("w1");
  SimulatedWorker& hasty = world_.AddWorker("w2");
  world_.Run();
  patient.worker->Leave();
  hasty.worker->Leave();
  hasty.worker->Leave();
  world_.Run(absl::Seconds(19));
  EXPECT_TRUE(hasty.left);
  EXPECT_FALSE(patient.left);
  world_.Run(absl::Seconds(2));
  EXPECT_TRUE(patient.left);
}

TEST_F(MembershipTest, WithoutACoordinatorItLeavesAtOnce) {
  world_.coordinator_transport->Vanish();
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  worker.worker->Leave();
  world_.Run();
  EXPECT_TRUE(worker.left);
}

TEST_F(MembershipTest, ACoordinatorThatIsGoneIsNotWaitedForLong) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  SimulatedWorker& other = world_.AddWorker("w2");
  world_.Run();
  worker.worker->Leave();
  other.worker->Leave();
  world_.Run();
  // A link that was only cut is there again, and the worker asks again.
  world_.network.BreakLinks("w2", "", absl::UnavailableError("cut"));
  world_.Run(absl::Seconds(5));
  EXPECT_FALSE(worker.left);
  EXPECT_FALSE(other.left);
  EXPECT_FALSE(world_.Control("w2").All<wire::Leaving>().empty());
  world_.coordinator_transport->Vanish();
  world_.Run(absl::Seconds(3));
  EXPECT_TRUE(worker.left);
  EXPECT_TRUE(other.left);
}

TEST_F(MembershipTest, ALinkThatBreaksAgainAndAgainProlongsNoLeave) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  worker.worker->Leave();
  for (int second = 0; second < 19; ++second) {
    world_.network.BreakLinks("w1", "", absl::UnavailableError("cut"));
    world_.Run(absl::Seconds(1));
  }
  world_.Run(absl::Seconds(2));
  EXPECT_TRUE(worker.left);
}

TEST_F(MembershipTest, APauseIsToldAgainAfterComingBack) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  worker.worker->Pause(true);
  world_.Run();
  EXPECT_EQ(world_.Control("w1").All<wire::Pausing>().size(), 1u);
  world_.network.BreakLinks("w1", "", absl::UnavailableError("cut"));
  world_.Run(absl::Seconds(2));
  const auto pausing = world_.Control("w1").All<wire::Pausing>();
  ASSERT_EQ(pausing.size(), 1u);
  EXPECT_TRUE(pausing[0].paused);
}

TEST_F(MembershipTest, AnEndOfThePauseWhileItIsAwayIsToldToo) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  worker.worker->Pause(true);
  world_.Run();
  world_.network.BreakLinks("w1", "", absl::UnavailableError("cut"));
  world_.Run(absl::Milliseconds(10));
  EXPECT_FALSE(worker.worker->joined());
  worker.worker->Pause(false);
  world_.Run(absl::Seconds(2));
  const auto pausing = world_.Control("w1").All<wire::Pausing>();
  ASSERT_EQ(pausing.size(), 1u);
  EXPECT_FALSE(pausing[0].paused);
}

TEST_F(MembershipTest, EveryMessageThatIsNotForAWorkerIsNonsense) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  const std::vector<wire::Message> nonsense = {
      wire::WorkerHello{},     wire::Heartbeat{},       wire::PrepareProgress{},
      wire::Prepared{},        wire::Fenced{},          wire::Committed{},
      wire::Leaving{},         wire::Pausing{},         wire::LinkMeasured{},
      wire::LinkLost{},        MakeWelcome(),           wire::DataHello{},
      wire::StageFrame{},      wire::StepResult{},      wire::WeightsHello{},
      wire::ManifestRequest{}, wire::ManifestReply{},   wire::ChunkRequest{},
      wire::ChunkPiece{},      wire::Ping{.echo = true}};
  for (const wire::Message& message : nonsense) {
    world_.Run(absl::Seconds(2));
    ASSERT_TRUE(worker.worker->joined());
    worker.lost.clear();
    world_.Say("w1", message);
    world_.Run(absl::Milliseconds(10));
    ASSERT_EQ(worker.lost.size(), 1u) << message.index();
    EXPECT_EQ(worker.lost[0].code(), absl::StatusCode::kInvalidArgument) << message.index();
  }
}

TEST_F(MembershipTest, NonsenseClosesTheControlLinkAndItIsDialledAgain) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  HeldLink& link = world_.Control("w1");
  link.link->Send(wire::ChunkPiece{});
  world_.Run(absl::Seconds(2));
  EXPECT_TRUE(link.closed);
  EXPECT_EQ(link.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(worker.worker->joined());
}

TEST_F(MembershipTest, MeasuresALinkToAPeer) {
  world_.AddWorker("w1");
  world_.AddWorker("w2");
  world_.Run();
  world_.faults.delay = absl::Milliseconds(5);
  world_.faults.bytes_per_second = 10e6;
  world_.Say("w1", wire::MeasureLink{.peer = WorkerWorld::PeerOf("w2")});
  world_.Run(absl::Seconds(5));
  const auto measured = world_.Control("w1").All<wire::LinkMeasured>();
  ASSERT_EQ(measured.size(), 1u);
  EXPECT_TRUE(measured[0].status.ok()) << measured[0].status;
  EXPECT_EQ(measured[0].peer, "w2");
  EXPECT_NEAR(measured[0].round_trip_seconds, 0.010, 0.001);
  EXPECT_NEAR(measured[0].bytes_per_second, 10e6, 0.1e6);
}

TEST_F(MembershipTest, ThereIsABoundOnMeasurements) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  for (size_t i = 0; i <= Worker::kMostMeasurements; ++i)
    world_.Say("w1", wire::MeasureLink{.peer = WorkerWorld::PeerOf(absl::StrCat("nobody", i))});
  world_.Run(absl::Milliseconds(10));
  ASSERT_EQ(worker.lost.size(), 1u);
  EXPECT_EQ(worker.lost[0].code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(MembershipTest, SaysWhichPeerCannotBeReached) {
  world_.AddWorker("w1");
  world_.Run();
  world_.Say("w1", wire::MeasureLink{.peer = WorkerWorld::PeerOf("nobody")});
  world_.Run(absl::Seconds(5));
  const auto measured = world_.Control("w1").All<wire::LinkMeasured>();
  ASSERT_EQ(measured.size(), 1u);
  EXPECT_EQ(measured[0].status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(MembershipTest, CopiesToKeepAreHandedOnAndTheirEndIsTold) {
  SimulatedWorker& worker = world_.AddWorker("w1");
  world_.Run();
  world_.Say("w1", wire::KeepCopy{.manifest = {}, .range = {0, 2}, .sources = {}});
  world_.Run();
  ASSERT_EQ(worker.copies.size(), 1u);
  EXPECT_EQ(worker.copies[0].range.last_cut, 2);
  const auto ended = world_.Control("w1").All<wire::CopyEnded>();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].range.last_cut, 2);
  EXPECT_EQ(ended[0].status.code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace potluck::worker
