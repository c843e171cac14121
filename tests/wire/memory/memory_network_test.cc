#include "wire/memory/memory_network.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/simulated_executor.h"

namespace potluck::wire {
namespace {

Message Numbered(int64_t number, size_t bytes = 0) {
  return Ping{.number = number, .bytes = std::string(bytes, 'x')};
}

struct Recorder : LinkHandler {
  void OnMessage(Message message) override {
    numbers.push_back(std::get<Ping>(message).number);
    if (on_message) on_message();
  }
  void OnWritable() override { ++writable; }
  void OnClosed(absl::Status why) override {
    closed = std::move(why);
    ++num_closed;
  }
  std::vector<int64_t> numbers;
  int writable = 0, num_closed = 0;
  absl::Status closed;
  std::function<void()> on_message;
};

struct Acceptor : LinkAcceptor {
  LinkHandler& OnLink(LinkKind, std::unique_ptr<Link> new_link) override {
    link = std::move(new_link);
    return handler;
  }
  std::unique_ptr<Link> link;
  Recorder handler;
};

struct Faults : FaultModel {
  Passage OnDial(const WorkerId&, const WorkerId&, LinkKind) override { return dial; }
  Passage OnMessage(const WorkerId&, const WorkerId&, LinkKind, const Message&) override {
    return message;
  }
  Passage dial, message;
};

class MemoryNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override { b_->Listen(acceptor_); }
  std::unique_ptr<Link> Dial() { return a_->Dial("b", {"b:1"}, LinkKind::kData, handler_); }
  void Run(absl::Duration period = absl::Milliseconds(1)) { time_.RunFor(period); }

  SimulatedTime time_;
  std::unique_ptr<SimulatedExecutor> a_executor_ = time_.MakeExecutor(),
                                     b_executor_ = time_.MakeExecutor();
  Faults faults_;
  MemoryNetwork network_{&faults_};
  std::unique_ptr<MemoryTransport> a_ = network_.AddNode("a", {}, *a_executor_),
                                   b_ = network_.AddNode("b", {"b:1"}, *b_executor_);
  Acceptor acceptor_;
  Recorder handler_;
};

TEST_F(MemoryNetworkTest, CarriesMessagesInOrderBothWaysAndProvesNames) {
  const auto link = Dial();
  link->Send(Numbered(1));
  link->Send(Numbered(2));
  Run();
  EXPECT_EQ(acceptor_.handler.numbers, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(acceptor_.link->peer().worker, "a");
  EXPECT_EQ(link->peer().worker, "b");
  acceptor_.link->Send(Numbered(3));
  Run();
  EXPECT_EQ(handler_.numbers, std::vector<int64_t>{3});
}

TEST_F(MemoryNetworkTest, DelaysKeepTheOrder) {
  faults_.dial.delay = absl::Milliseconds(5);
  const auto link = Dial();
  faults_.message.delay = absl::Milliseconds(30);
  link->Send(Numbered(1));
  faults_.message.delay = absl::Milliseconds(10);
  link->Send(Numbered(2));
  Run(absl::Milliseconds(34));  // the link is up after 5
  EXPECT_TRUE(acceptor_.handler.numbers.empty());
  Run(absl::Milliseconds(1));
  EXPECT_EQ(acceptor_.handler.numbers, (std::vector<int64_t>{1, 2}));
}

TEST_F(MemoryNetworkTest, BandwidthIsSharedAndWaterMarksHold) {
  faults_.message.bytes_per_second = 1 << 20;
  const auto link = Dial();
  for (int i = 0; i < 7; ++i) EXPECT_TRUE(link->Send(Numbered(i, 1 << 20)));
  EXPECT_FALSE(link->Send(Numbered(7, 1 << 20)));
  Run(absl::Milliseconds(3500));
  EXPECT_EQ(acceptor_.handler.numbers.size(), 3u);
  EXPECT_EQ(handler_.writable, 0);
  Run(absl::Milliseconds(3510));  // the estimate counts an envelope, too
  EXPECT_EQ(handler_.writable, 1);
  Run(absl::Seconds(2));
  EXPECT_EQ(acceptor_.handler.numbers.size(), 8u);
  EXPECT_EQ(handler_.writable, 1);
}

TEST_F(MemoryNetworkTest, CloseSendsWhatIsQueuedThenSaysWhy) {
  const auto link = Dial();
  faults_.message.delay = absl::Milliseconds(10);
  link->Send(Numbered(1));
  link->Close(absl::AbortedError("enough"));
  Run(absl::Milliseconds(20));
  EXPECT_EQ(acceptor_.handler.numbers.size(), 1u);
  EXPECT_EQ(acceptor_.handler.closed, absl::AbortedError("enough"));
  EXPECT_EQ(handler_.num_closed, 0);
}

TEST_F(MemoryNetworkTest, DestroyingALinkClosesItAndSilencesItsHandler) {
  auto link = Dial();
  Run();
  acceptor_.link->Send(Numbered(1));
  link.reset();
  Run();
  EXPECT_TRUE(handler_.numbers.empty());
  EXPECT_EQ(handler_.num_closed, 0);
  EXPECT_EQ(acceptor_.handler.closed.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(network_.num_open_links(), 0);
}

TEST_F(MemoryNetworkTest, ALinkMayGoWithinItsHandler) {
  auto link = Dial();
  Run();
  handler_.on_message = [&] { link.reset(); };
  acceptor_.link->Send(Numbered(1));
  acceptor_.link->Send(Numbered(2));
  Run();
  EXPECT_EQ(handler_.numbers.size(), 1u);
}

TEST_F(MemoryNetworkTest, DialsFailWhereNobodyListensOrSomebodyElseDoes) {
  Recorder nobody, wrong, refused;
  const auto one = a_->Dial("c", {"c:1"}, LinkKind::kData, nobody);
  const auto two = a_->Dial("c", {"b:1"}, LinkKind::kData, wrong);
  faults_.dial = {.delay = absl::Milliseconds(1), .broken = absl::UnavailableError("no route")};
  const auto three = a_->Dial("b", {"b:1"}, LinkKind::kData, refused);
  Run();
  EXPECT_EQ(nobody.closed.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(wrong.closed.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(refused.closed.message(), "no route");
  EXPECT_EQ(acceptor_.link, nullptr);
}

TEST_F(MemoryNetworkTest, BreaksAreHeardAtBothEndsAndLoseWhatIsOnItsWay) {
  const auto link = Dial();
  Run();
  faults_.message.delay = absl::Milliseconds(10);
  link->Send(Numbered(1));
  network_.BreakLinks("b", "a", absl::UnavailableError("cut"));
  Run(absl::Milliseconds(20));
  EXPECT_EQ(handler_.closed.message(), "cut");
  EXPECT_EQ(acceptor_.handler.closed.message(), "cut");
  EXPECT_TRUE(acceptor_.handler.numbers.empty());
  EXPECT_TRUE(link->Send(Numbered(2)));
  Run();
  EXPECT_EQ(handler_.num_closed, 1);
}

TEST_F(MemoryNetworkTest, AFaultOnAMessageBreaksItsLink) {
  const auto link = Dial();
  faults_.message = {.delay = absl::Milliseconds(4), .broken = absl::UnavailableError("reset")};
  link->Send(Numbered(1));
  Run(absl::Milliseconds(3));
  EXPECT_EQ(handler_.num_closed, 0);
  Run();
  EXPECT_EQ(handler_.num_closed, 1);
  EXPECT_EQ(acceptor_.handler.num_closed, 1);
}

TEST_F(MemoryNetworkTest, AVanishedNodeIsHeardOfAfterAWhileAndMayComeBack) {
  const auto link = Dial();
  Run();
  acceptor_.link->Send(Numbered(1));
  b_->Vanish(absl::Seconds(3));
  b_executor_->Stop();
  Run(absl::Milliseconds(2999));
  EXPECT_EQ(handler_.numbers.size(), 1u);
  EXPECT_EQ(handler_.num_closed, 0);
  Run();
  EXPECT_EQ(handler_.closed.code(), absl::StatusCode::kUnavailable);

  const auto executor = time_.MakeExecutor();
  const auto again = network_.AddNode("b", {"b:1"}, *executor);
  Acceptor acceptor;
  again->Listen(acceptor);
  const auto second = Dial();
  second->Send(Numbered(2));
  Run();
  EXPECT_EQ(acceptor.handler.numbers.size(), 1u);
  acceptor.link.reset();
}

TEST_F(MemoryNetworkTest, HalfOpenLinksNeverTellAndAreClosedWhenTooMuchWaits) {
  const auto link = Dial();
  Run();
  b_->Vanish(absl::InfiniteDuration());
  for (int i = 0; i < 7; ++i) EXPECT_TRUE(link->Send(Numbered(i, 1 << 20)));
  EXPECT_FALSE(link->Send(Numbered(7, 1 << 20)));
  Run(absl::Hours(1));
  EXPECT_EQ(handler_.num_closed, 0);
  for (int i = 0; i < 60; ++i) link->Send(Numbered(i, 1 << 20));
  Run();
  EXPECT_EQ(handler_.closed.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(MemoryNetworkTest, OneDirectionMayStallWhileTheOtherCarries) {
  const auto link = Dial();
  Run();
  faults_.message.delay = absl::InfiniteDuration();
  link->Send(Numbered(1));
  faults_.message.delay = absl::ZeroDuration();
  link->Send(Numbered(2));
  acceptor_.link->Send(Numbered(3));
  Run(absl::Hours(1));
  EXPECT_TRUE(acceptor_.handler.numbers.empty());
  EXPECT_EQ(handler_.numbers, std::vector<int64_t>{3});
}

TEST_F(MemoryNetworkTest, ANodeWithoutAddressesOnlyDials) {
  Recorder recorder;
  const auto link = b_->Dial("a", {}, LinkKind::kControl, recorder);
  Run();
  EXPECT_EQ(recorder.closed.code(), absl::StatusCode::kUnavailable);
}

TEST_F(MemoryNetworkTest, AListenerThatIsNotThereYetRefuses) {
  const auto c = network_.AddNode("c", {"c:1"}, *b_executor_);
  const auto link = a_->Dial("c", {"c:1"}, LinkKind::kControl, handler_);
  Run();
  EXPECT_EQ(handler_.closed.code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace potluck::wire
