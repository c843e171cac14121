// Random messages, most of them nonsense, from a coordinator and a neighbour, over links that delay
// and break at random: nothing crashes, an instance that none of them may touch keeps its sequences
// and goes on, and what is released leaves nothing behind. The seed is the test's parameter: one
// run is repeated by --gtest_filter.

#include <gtest/gtest.h>

#include "tests/worker/random_faults.h"
#include "tests/worker/worker_world.h"

namespace potluck::worker {
namespace {

constexpr int64_t kUntouched = 100;  // the storm names instances 1 to 3
constexpr int64_t kSequence = 40;    // the storm names it, too
constexpr int kMessages = 400, kMessagesUntilCalm = 40;

wire::Message ControlMessage(Dice& dice) {
  const int64_t instance = dice.Pick(1, 3), epoch = dice.Pick(1, 6);
  switch (dice.Pick(0, 9)) {
    case 0:
    case 1: {
      const std::vector<wire::WorkerId> pipeline = {"w1", dice.OneIn(2) ? "w2" : "w1"};
      wire::Prepare prepare = WorkerWorld::PrepareFor(instance, epoch, pipeline, 0,
                                                      static_cast<wire::HopKind>(dice.Pick(0, 2)));
      if (dice.OneIn(4)) prepare.stage = static_cast<int32_t>(dice.Pick(-2, 3));
      if (dice.OneIn(4)) prepare.range.last_cut = static_cast<int32_t>(dice.Pick(0, 8));
      if (dice.OneIn(6)) prepare.epoch.term = dice.Pick(0, 3);
      return prepare;
    }
    case 2:
    case 3:
      return WorkerWorld::CommitFor(instance, epoch,
                                    {{dice.Pick(38, 42), static_cast<int32_t>(dice.Pick(-1, 9))}});
    case 4:
      return wire::Fence{.instance = instance, .epoch = {dice.Pick(0, 1), epoch}};
    case 5:
      return wire::Release{.instance = instance, .epoch = {1, dice.Pick(0, 6)}};
    case 6:
      return wire::MeasureLink{.peer = WorkerWorld::PeerOf(dice.OneIn(2) ? "w2" : "nobody")};
    case 7:
      return wire::KeepCopy{};
    case 8:
      return wire::Ping{.number = 0, .echo = dice.OneIn(10), .bytes = ""};
    default:
      return dice.OneIn(5) ? wire::Message(wire::StepResult{}) : wire::Message(wire::MayLeave{});
  }
}

wire::Message DataMessage(Dice& dice) {
  if (dice.OneIn(20)) return wire::Fenced{};
  if (dice.OneIn(10))
    return wire::Ping{.number = dice.Pick(-1, 9), .echo = dice.OneIn(2), .bytes = "x"};
  wire::StageFrame frame = WorkerWorld::FrameFor(
      dice.Pick(1, 3), dice.Pick(1, 6), dice.Pick(0, 5), dice.Pick(38, 42),
      static_cast<int32_t>(dice.Pick(0, 4)), static_cast<int32_t>(dice.Pick(0, 3)));
  frame.timings.resize(static_cast<size_t>(dice.Pick(0, 2)));
  if (dice.OneIn(4)) frame.commands.push_back(model::FreeCommand{dice.Pick(38, 42)});
  if (dice.OneIn(4)) frame.hidden.resize(static_cast<size_t>(dice.Pick(0, 64)));
  return frame;
}

class Storm {
 public:
  explicit Storm(uint64_t seed) : dice_(seed) {
    world_.Run();
    world_.Begin(kUntouched, 1, {"w1"});
    log_ = target_.loader->logs.at(0);
  }

  // The trace: a seed is held to give the same run twice.
  uint64_t Run() {
    for (int i = 1; i <= kMessages && !testing::Test::HasFailure(); ++i) {
      faults_.calm = false;
      SendOne();
      world_.Run(absl::Milliseconds(dice_.Pick(0, 60)));
      if (i % kMessagesUntilCalm == 0) HoldTheUntouched();
    }
    HoldNothingLeftBehind();
    // Ends in the midst of things.
    faults_.calm = false;
    for (int i = 0; i < 20; ++i) SendOne();
    world_.Run(absl::Milliseconds(dice_.Pick(0, 100)));
    return world_.time.trace_hash();
  }

 private:
  void SendOne() {
    if (HeldLink* control = world_.coordinator.Find("w1", wire::LinkKind::kControl))
      control->link->Send(ControlMessage(dice_));
    if (HeldLink* data = world_.coordinator.Find("w1", wire::LinkKind::kData))
      data->link->Send(DataMessage(dice_));
    if (neighbour_ == nullptr || handler_.closed) DialAsNeighbour();
    neighbour_->Send(DataMessage(dice_));
    if (dice_.OneIn(50))
      world_.network.BreakLinks("w1", dice_.OneIn(2) ? "w2" : "", absl::UnavailableError("cut"));
    if (dice_.OneIn(50)) target_.worker->Pause(dice_.OneIn(2));
    if (dice_.OneIn(50)) target_.loader->error = absl::ResourceExhaustedError("no room");
    if (dice_.OneIn(10)) target_.loader->error = absl::OkStatus();
  }

  void DialAsNeighbour() {
    neighbour_.reset();
    handler_ = HeldLink();
    neighbour_ = transport_->Dial("w1", {"w1:7080"}, wire::LinkKind::kData, handler_);
    if (dice_.OneIn(10)) return;
    neighbour_->Send(
        wire::DataHello{.version = wire::OurVersion("test"), .from = "w2-again", .to = "w1"});
  }

  // Every hop and link has been re-dialled: a change of epoch and a step.
  void HoldTheUntouched() {
    faults_.calm = true;
    target_.loader->error = absl::OkStatus();
    world_.Run(absl::Seconds(45));
    ASSERT_TRUE(target_.worker->joined());
    EXPECT_EQ(log_->alive, 1);
    EXPECT_EQ(Held(), position_);
    ++epoch_;
    world_.Begin(kUntouched, epoch_, {"w1"}, wire::HopKind::kUpstreamDials,
                 {{kSequence, position_}});
    HeldLink& data = world_.Data("w1");
    data.link->Send(WorkerWorld::FrameFor(kUntouched, epoch_, 1, kSequence, position_));
    ++position_;
    world_.Run();
    EXPECT_EQ(Held(), position_);
    const auto results = data.All<wire::StepResult>();
    const auto mine = std::ranges::count_if(results, [this](const wire::StepResult& result) {
      return result.instance == kUntouched && result.epoch.number == epoch_ && result.status.ok();
    });
    EXPECT_EQ(mine, 1);
  }

  int32_t Held() const { return std::max(0, log_->Length(kSequence)); }

  void HoldNothingLeftBehind() {
    for (int64_t instance = 1; instance <= 3; ++instance)
      world_.Say("w1", wire::Release{.instance = instance, .epoch = {9, 0}});
    world_.Run(absl::Minutes(1));  // measurements end
    EXPECT_EQ(target_.loader->NumAlive(), 1) << "stages that were released";
    EXPECT_EQ(target_.loader->NumLoading(), 0);
    neighbour_.reset();
    world_.Run();
    // Two workers, each with a control and a data link.
    EXPECT_EQ(world_.network.num_open_links(), 4);
  }

  Dice dice_;
  RandomFaults faults_{dice_};
  WorkerWorld world_{&faults_};
  SimulatedWorker& target_ = world_.AddWorker("w1");
  SimulatedWorker& bystander_ = world_.AddWorker("w2");
  std::shared_ptr<PretendLog> log_;
  int64_t epoch_ = 1;
  int32_t position_ = 0;
  HeldLink handler_;
  std::unique_ptr<SimulatedExecutor> executor_ = world_.time.MakeExecutor();
  std::unique_ptr<wire::MemoryTransport> transport_ =
      world_.network.AddNode("w2-again", {}, *executor_);
  std::unique_ptr<wire::Link> neighbour_;
};

class StormTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(StormTest, NothingCrashesNothingStaysAndNoOtherInstanceIsTouched) {
  Storm(GetParam()).Run();
}

INSTANTIATE_TEST_SUITE_P(Seeds, StormTest, ::testing::Range<uint64_t>(1, 61));

TEST(StormTraceTest, ASeedGivesTheSameRunTwice) { EXPECT_EQ(Storm(5).Run(), Storm(5).Run()); }

}  // namespace
}  // namespace potluck::worker
