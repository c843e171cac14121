// A peer with a valid certificate and no manners: it gets errors, and nobody else notices.
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "tests/sim/sim_world.h"
#include "wire/version.h"

namespace potluck::sim {
namespace {

// One link to the coordinator, and what came back.
struct HostileLink final : wire::LinkHandler {
  void OnMessage(wire::Message message) override { received.push_back(std::move(message)); }
  void OnClosed(absl::Status why) override { closed = std::move(why); }
  bool is_open() const { return closed.ok(); }
  std::unique_ptr<wire::Link> link;
  std::vector<wire::Message> received;
  absl::Status closed;
};

class HostileTest : public testing::Test {
 protected:
  HostileTest() {
    world.AddWorker("a");
    world.AddWorker("b");
    world.Load();
    EXPECT_TRUE(world.RunUntil([&] { return world.ready() && world.Stages().size() == 2; }));
  }

  HostileLink& Dial(wire::LinkKind kind) {
    links.push_back(std::make_unique<HostileLink>());
    links.back()->link =
        transport->Dial(wire::kCoordinator, {"coordinator:7071"}, kind, *links.back());
    return *links.back();
  }
  static wire::WorkerHello Hello() {
    wire::WorkerHello hello;
    hello.version = wire::OurVersion("evil");
    hello.worker = hello.name = hello.host = "evil";
    hello.process = 1;
    wire::DeviceProfile device{.device = "cpu", .backend = "cpu", .numerics_class = "cpu-1"};
    device.memory_bytes = device.free_memory_bytes = 1 << 20;
    device.rates = {{kernels::DType::kF16, 1e6, 1e6}, {kernels::DType::kQ8_0, 1e6, 1e6}};
    hello.devices.push_back(device);
    return hello;
  }
  static wire::DataHello DataHelloOf(const std::string& from) {
    return {.version = wire::OurVersion("evil"), .from = from, .to = wire::kCoordinator};
  }
  // A member as any other, with both links.
  void Join() {
    control = &Dial(wire::LinkKind::kControl);
    control->link->Send(Hello());
    world.Run(absl::Milliseconds(50));
    data = &Dial(wire::LinkKind::kData);
    data->link->Send(DataHelloOf("evil"));
    world.Run(absl::Milliseconds(50));
    ASSERT_TRUE(control->is_open());
    ASSERT_TRUE(data->is_open());
  }
  void ExpectAnswers() {
    SimRequest& request = world.Submit(30, 20, 3);
    EXPECT_TRUE(world.RunUntil([&] { return request.ended(); }));
    EXPECT_EQ(request.tokens, world.Expected(request));
    EXPECT_EQ(world.coordinator->counters().replans, 0);
  }

  SimWorld world;
  std::unique_ptr<SimulatedExecutor> executor = world.time.MakeExecutor();
  std::unique_ptr<wire::MemoryTransport> transport =
      world.network.AddNode("evil", {"evil:7080"}, *executor);
  std::vector<std::unique_ptr<HostileLink>> links;
  HostileLink* control = nullptr;
  HostileLink* data = nullptr;
};

TEST_F(HostileTest, BadHellosAreRefusedWithTheReason) {
  const auto closed_with = [&](const wire::Message& first) {
    HostileLink& link = Dial(wire::LinkKind::kControl);
    link.link->Send(first);
    world.Run(absl::Milliseconds(50));
    return link.closed.code();
  };
  EXPECT_EQ(closed_with(wire::Heartbeat{}), absl::StatusCode::kInvalidArgument);
  wire::WorkerHello hello = Hello();
  hello.version.major = 99;
  EXPECT_EQ(closed_with(hello), absl::StatusCode::kFailedPrecondition);
  hello = Hello();
  hello.worker = "a";
  EXPECT_EQ(closed_with(hello), absl::StatusCode::kPermissionDenied);
  hello = Hello();
  hello.worker = "../../etc";
  EXPECT_EQ(closed_with(hello), absl::StatusCode::kInvalidArgument);
  hello = Hello();
  hello.devices.clear();
  EXPECT_EQ(closed_with(hello), absl::StatusCode::kInvalidArgument);
  hello = Hello();
  hello.devices.push_back(hello.devices.front());
  EXPECT_EQ(closed_with(hello), absl::StatusCode::kInvalidArgument);
  hello = Hello();
  hello.devices[0].rates[0].decode_bytes_per_second = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(closed_with(hello), absl::StatusCode::kInvalidArgument);
  ExpectAnswers();
}

TEST_F(HostileTest, ASecondProcessOfALivingWorkerIsRefused) {
  Join();
  wire::WorkerHello hello = Hello();
  hello.process = 2;
  HostileLink& second = Dial(wire::LinkKind::kControl);
  second.link->Send(hello);
  world.Run(absl::Milliseconds(50));
  EXPECT_EQ(second.closed.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(control->is_open());
}

TEST_F(HostileTest, ADataLinkNeedsItsControlLink) {
  HostileLink& link = Dial(wire::LinkKind::kData);
  link.link->Send(DataHelloOf("evil"));
  world.Run(absl::Milliseconds(50));
  EXPECT_EQ(link.closed.code(), absl::StatusCode::kFailedPrecondition);
  HostileLink& other = Dial(wire::LinkKind::kData);
  other.link->Send(DataHelloOf("a"));
  world.Run(absl::Milliseconds(50));
  EXPECT_EQ(other.closed.code(), absl::StatusCode::kPermissionDenied);
  ExpectAnswers();
}

TEST_F(HostileTest, ResultsAndFramesOfStagesThatItDoesNotRunCloseItsLinks) {
  const model::Epoch epoch = world.instance().pipeline()->epoch;
  for (const bool frame : {false, true}) {
    Join();
    if (frame) {
      wire::StageFrame sent;
      sent.step.instance = world.instance_id;
      sent.step.epoch = epoch;
      sent.timings.resize(1);
      data->link->Send(sent);
    } else {
      data->link->Send(wire::StepResult{
          .instance = world.instance_id, .epoch = epoch, .number = 1, .tokens = {{1, 1, 1, {}}}});
    }
    world.Run(absl::Milliseconds(50));
    EXPECT_EQ(data->closed.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(control->is_open());
    ExpectAnswers();
  }
}

TEST_F(HostileTest, AnswersToChangesThatAreNotItsOwnChangeNothing) {
  Join();
  const model::Epoch now = world.instance().pipeline()->epoch;
  for (const int64_t number : {now.number - 1, now.number, now.number + 1, INT64_MAX}) {
    const model::Epoch epoch{now.term, number};
    control->link->Send(wire::Prepared{world.instance_id, epoch, 0, absl::OkStatus()});
    control->link->Send(
        wire::Prepared{world.instance_id, epoch, 1, absl::InternalError("nonsense")});
    control->link->Send(wire::Fenced{world.instance_id, epoch});
    control->link->Send(wire::Committed{
        .instance = world.instance_id, .epoch = epoch, .stage = -5, .held = {{1, INT32_MAX}}});
    control->link->Send(wire::PrepareProgress{world.instance_id, epoch, INT32_MAX, 1e300});
    control->link->Send(wire::LinkLost{world.instance_id, "nobody", absl::InternalError("no")});
    control->link->Send(wire::CopyEnded{{}, {-5, 1 << 30}, absl::OkStatus()});
    control->link->Send(wire::LinkMeasured{"a", absl::OkStatus(), -1, -1});
  }
  world.Run(absl::Milliseconds(500));
  EXPECT_TRUE(control->is_open());
  ExpectAnswers();
}

// Every kind of message on either link, in any order.
TEST_F(HostileTest, NonsenseEndsItsOwnLinksOnly) {
  std::mt19937_64 random(1);
  const std::vector<wire::Message> messages = {
      Hello(),
      wire::Heartbeat{.number = -1, .free_memory_bytes = {-1, -1, -1}},
      wire::Welcome{},
      wire::Prepare{},
      wire::Fence{},
      wire::Commit{},
      wire::Release{},
      wire::KeepCopy{},
      wire::MeasureLink{},
      wire::MayLeave{},
      wire::StageFrame{},
      wire::StepResult{},
      wire::ManifestRequest{},
      wire::ChunkPiece{},
      wire::Ping{},
      wire::Leaving{},
      wire::Leaving{true},
      wire::Pausing{true},
      DataHelloOf("evil")};
  for (int i = 0; i < 300; ++i) {
    if (control == nullptr || !control->is_open() || !data->is_open()) Join();
    HostileLink& link = random() % 2 == 0 ? *control : *data;
    link.link->Send(messages[random() % messages.size()]);
    world.Run(absl::Milliseconds(random() % 100));
  }
  ExpectAnswers();
}

}  // namespace
}  // namespace potluck::sim
