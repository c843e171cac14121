// Who is a member, and for how long, in simulated time.
#include "coordinator/membership/membership.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/simulated_executor.h"
#include "wire/memory/memory_network.h"
#include "wire/version.h"

namespace potluck::coordinator {
namespace {

// What the coordinator's other parts would hear.
struct Events final : MembershipEvents {
  void OnMembersChanged() override {}
  void OnMemberLost(const wire::WorkerId& worker, bool) override { lost.push_back(worker); }
  void OnHeartbeat(const wire::WorkerId&, const wire::Heartbeat&) override {}
  absl::Status OnInstanceMessage(const wire::WorkerId&, wire::Message) override {
    return absl::OkStatus();
  }
  absl::Status OnDataMessage(const wire::WorkerId&, wire::Message) override {
    return absl::OkStatus();
  }
  std::vector<wire::WorkerId> lost;
};

// A worker's end of a link.
struct End final : wire::LinkHandler {
  void OnMessage(wire::Message) override {}
  void OnClosed(absl::Status why) override { closed = std::move(why); }
  std::unique_ptr<wire::Link> link;
  absl::Status closed;
};

struct Worker {
  std::unique_ptr<wire::MemoryTransport> transport;
  std::unique_ptr<End> control, data;
};

class MembershipTest : public ::testing::Test, private wire::LinkAcceptor {
 protected:
  MembershipTest() { transport_->Listen(*this); }

  static wire::WorkerHello HelloOf(const wire::WorkerId& id) {
    wire::WorkerHello hello;
    hello.version = wire::OurVersion("test");
    hello.worker = hello.name = hello.host = id;
    hello.process = 1;
    wire::DeviceProfile device{.device = "cpu", .backend = "cpu", .numerics_class = "cpu-1"};
    device.memory_bytes = device.free_memory_bytes = 1 << 20;
    device.rates = {{kernels::DType::kF16, 1e9, 1e9}};
    hello.devices.push_back(device);
    return hello;
  }
  std::unique_ptr<End> Dial(Worker& worker, wire::LinkKind kind) {
    auto end = std::make_unique<End>();
    end->link = worker.transport->Dial(wire::kCoordinator, {"home:1"}, kind, *end);
    return end;
  }
  Worker NewWorker(const wire::WorkerId& id) {
    Worker worker;
    worker.transport = network_.AddNode(id, {}, *worker_executor_);
    return worker;
  }
  // With both links.
  Worker Join(const wire::WorkerId& id) {
    Worker worker = NewWorker(id);
    worker.control = Dial(worker, wire::LinkKind::kControl);
    worker.control->link->Send(HelloOf(id));
    time_.RunFor(absl::ZeroDuration());
    worker.data = Dial(worker, wire::LinkKind::kData);
    worker.data->link->Send(
        wire::DataHello{wire::OurVersion("test"), id, std::string(wire::kCoordinator)});
    time_.RunFor(absl::ZeroDuration());
    return worker;
  }

  // Heartbeats, each after such a pause.
  void Beat(const Worker& worker, int count, absl::Duration pause) {
    for (int i = 0; i < count; ++i) {
      time_.RunFor(pause);
      worker.control->link->Send(wire::Heartbeat{});
      time_.RunFor(absl::ZeroDuration());
    }
  }
  // From its last heartbeat, which has just come.
  void ExpectSilence(const wire::WorkerId& id, absl::Duration suspect, absl::Duration lost) {
    const absl::Duration instant = absl::Milliseconds(1);
    const Member& member = *membership_->Find(id);
    ASSERT_TRUE(member.connected());
    time_.RunFor(suspect - instant);
    EXPECT_FALSE(member.suspect);
    time_.RunFor(instant);
    EXPECT_TRUE(member.suspect);
    time_.RunFor(lost - suspect - instant);
    EXPECT_TRUE(member.connected());
    time_.RunFor(instant);
    EXPECT_FALSE(member.connected());
  }

  SimulatedTime time_;
  wire::MemoryNetwork network_;
  const std::unique_ptr<SimulatedExecutor> executor_ = time_.MakeExecutor(),
                                           worker_executor_ = time_.MakeExecutor();
  const std::unique_ptr<wire::MemoryTransport> transport_ =
      network_.AddNode(wire::kCoordinator, {"home:1"}, *executor_);
  Events events_;
  std::unique_ptr<Membership> membership_ = std::make_unique<Membership>(
      Membership::Options{.version = wire::OurVersion("test"), .term = 1, .cluster = "test"},
      *executor_, events_);

 private:
  wire::LinkHandler& OnLink(wire::LinkKind kind, std::unique_ptr<wire::Link> link) override {
    return membership_->Accept(kind, std::move(link));
  }
};

TEST_F(MembershipTest, ALinkThatSaysNothingIsClosed) {
  Worker silent = NewWorker("silent");
  silent.control = Dial(silent, wire::LinkKind::kControl);
  silent.data = Dial(silent, wire::LinkKind::kData);
  time_.RunFor(Membership::kHelloTime - absl::Milliseconds(1));
  EXPECT_TRUE(silent.control->closed.ok() && silent.data->closed.ok());
  time_.RunFor(absl::Milliseconds(1));
  for (const End* end : {silent.control.get(), silent.data.get()})
    EXPECT_EQ(end->closed.code(), absl::StatusCode::kDeadlineExceeded) << end->closed;
}

TEST_F(MembershipTest, ALinkThatHasSaidHelloStays) {
  const Worker worker = Join("w");
  Beat(worker, 60, Membership::kHeartbeatInterval);
  EXPECT_TRUE(worker.control->closed.ok()) << worker.control->closed;
  EXPECT_TRUE(worker.data->closed.ok()) << worker.data->closed;
  EXPECT_TRUE(membership_->Find("w")->connected());
}

// A link that is even keeps the times of the design, to the millisecond.
TEST_F(MembershipTest, SilenceMakesSuspectAndThenLost) {
  const Worker worker = Join("w");
  Beat(worker, 20, Membership::kHeartbeatInterval);
  ExpectSilence("w", absl::Seconds(2), absl::Seconds(3));
}

TEST_F(MembershipTest, ALinkThatPausesIsGivenMoreTime) {
  const Worker worker = Join("w");
  Beat(worker, 1, absl::Milliseconds(2400));
  EXPECT_EQ(membership_->Find("w")->patience.suspect_after(), absl::Seconds(2)) << "once is none";
  Beat(worker, 10, Membership::kHeartbeatInterval);
  Beat(worker, 1, absl::Milliseconds(2400));
  Beat(worker, 10, Membership::kHeartbeatInterval);
  EXPECT_TRUE(events_.lost.empty());
  ExpectSilence("w", absl::Seconds(3), absl::Seconds(4));
}

// Lost by silence twice and back each time with the same process: it was the link.
TEST_F(MembershipTest, ALinkThatHasPausedForTooLongIsGivenMoreTimeWhenItIsBack) {
  for (int i = 0; i < 2; ++i) {
    const Worker worker = Join("w");
    time_.RunFor(absl::Seconds(4));
  }
  EXPECT_EQ(events_.lost.size(), 2u);
  const Worker back = Join("w");
  Beat(back, 1, Membership::kHeartbeatInterval);
  ExpectSilence("w", absl::Milliseconds(3750), absl::Milliseconds(4750));
  Worker other = NewWorker("w");
  other.control = Dial(other, wire::LinkKind::kControl);
  wire::WorkerHello hello = HelloOf("w");
  hello.process = 2;
  other.control->link->Send(hello);
  time_.RunFor(absl::ZeroDuration());
  EXPECT_EQ(membership_->Find("w")->patience.suspect_after(), absl::Seconds(2));
}

TEST_F(MembershipTest, RemembersWhomItKnewAndWhatPeopleWantOfThem) {
  const std::vector<KnownWorker> known = {
      {.worker = "a", .name = "attic", .drained = true, .silent_for = absl::Hours(2)},
      {.worker = "b", .name = "desk", .paused = true, .left = true, .silent_for = absl::Hours(1)}};
  membership_ = std::make_unique<Membership>(
      Membership::Options{wire::OurVersion("test"), 2, "test", known}, *executor_, events_);
  EXPECT_EQ(membership_->Known(), known);
  EXPECT_EQ(membership_->StateOf("a"), MemberState::kLost);
  EXPECT_EQ(membership_->StateOf("b"), MemberState::kLeft);
  EXPECT_EQ(membership_->PeerOf("b").name, "desk");
  const Worker a = Join("a"), b = Join("b");
  EXPECT_EQ(membership_->StateOf("a"), MemberState::kLeaving);
  EXPECT_EQ(membership_->StateOf("b"), MemberState::kPaused);
  EXPECT_TRUE(membership_->Resume("a").ok());
  EXPECT_TRUE(membership_->Resume("b").ok());
  EXPECT_TRUE(absl::IsNotFound(membership_->Resume("c")));
  for (const KnownWorker& worker : membership_->Known()) {
    EXPECT_FALSE(worker.drained || worker.paused || worker.left) << worker.worker;
    EXPECT_EQ(worker.silent_for, absl::ZeroDuration());
  }
}

TEST_F(MembershipTest, WhatItsOwnerPausedOnlyTheOwnerResumes) {
  const Worker worker = Join("w");
  worker.control->link->Send(wire::Pausing{.paused = true});
  time_.RunFor(absl::ZeroDuration());
  EXPECT_EQ(membership_->StateOf("w"), MemberState::kPaused);
  EXPECT_TRUE(absl::IsFailedPrecondition(membership_->Resume("w")));
  EXPECT_TRUE(membership_->Pause("w").ok());
  // The person's own wish ends, the owner's stays.
  EXPECT_TRUE(absl::IsFailedPrecondition(membership_->Resume("w")));
  EXPECT_EQ(membership_->StateOf("w"), MemberState::kPaused);
  worker.control->link->Send(wire::Pausing{.paused = false});
  time_.RunFor(absl::ZeroDuration());
  EXPECT_EQ(membership_->StateOf("w"), MemberState::kJoining);
}

TEST_F(MembershipTest, WhoIsLostTooOftenRestsUntilAPersonResumesIt) {
  for (int i = 0; i < Membership::kMostLosses; ++i) Join("w").control.reset();
  const Worker worker = Join("w");
  EXPECT_EQ(membership_->StateOf("w"), MemberState::kResting);
  EXPECT_TRUE(membership_->Resume("w").ok());
  EXPECT_EQ(membership_->StateOf("w"), MemberState::kJoining);
}

TEST_F(MembershipTest, WhenFullItForgetsWhoHasBeenGoneLongest) {
  std::vector<Worker> workers;
  for (size_t i = 0; i < Membership::kMostMembers; ++i) {
    workers.push_back(Join(absl::StrCat("w", i)));
    ASSERT_TRUE(membership_->Find(absl::StrCat("w", i))->connected());
  }
  const auto refusal = [&] {
    const Worker late = Join("late");
    return late.control->closed.code();
  };
  EXPECT_EQ(refusal(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(membership_->Find("late"), nullptr);
  for (const size_t gone : {7, 3}) {  // w7 first
    time_.RunFor(absl::Milliseconds(100));
    workers[gone].control->link->Send(wire::Heartbeat{});
    time_.RunFor(absl::ZeroDuration());
    workers[gone].control.reset();
    time_.RunFor(absl::ZeroDuration());
  }
  const Worker next = Join("next");
  EXPECT_TRUE(membership_->Find("next")->connected());
  EXPECT_EQ(membership_->Find("w7"), nullptr);
  EXPECT_NE(membership_->Find("w3"), nullptr);
  EXPECT_EQ(membership_->members().size(), Membership::kMostMembers);
}

}  // namespace
}  // namespace potluck::coordinator
