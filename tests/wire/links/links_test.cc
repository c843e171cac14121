// How links behave, over every transport: what roles rely on (wire/link.h).
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/wire/links/link_world.h"
#include "wire/version.h"

namespace potluck::wire {
namespace {

class LinksTest : public ::testing::TestWithParam<MakeLinkWorld> {
 protected:
  ~LinksTest() override {
    OnA([&] { link_.reset(); });
  }

  void OnA(const std::function<void()>& task) { world_->a_executor.RunAndWait(task); }
  void OnB(const std::function<void()>& task) { world_->b_executor.RunAndWait(task); }
  bool UntilA(const std::function<bool()>& done) {
    return world_->happenings.WaitUntil(world_->a_executor, done);
  }
  bool UntilB(const std::function<bool()>& done) {
    return world_->happenings.WaitUntil(world_->b_executor, done);
  }
  std::unique_ptr<Link> Dial(LinkHandler& handler, LinkKind kind = LinkKind::kData) {
    return world_->a_transport().Dial(world_->b_id(), world_->b_addresses(), kind, handler);
  }
  // The i-th link that b has taken, and what came on it. On b.
  Acceptor::Taken& Taken(size_t i = 0) { return world_->acceptor.taken[i]; }
  bool UntilTaken(size_t count = 1) {
    return UntilB([&] { return world_->acceptor.taken.size() == count; });
  }
  bool UntilReceived(size_t count, size_t i = 0) {
    return UntilB([&] {
      return world_->acceptor.taken.size() > i && Taken(i).handler->numbers.size() == count;
    });
  }
  void OpenLink() {
    OnA([&] { link_ = Dial(handler_); });
    ASSERT_TRUE(UntilTaken());
  }

  const std::unique_ptr<LinkWorld> world_ = GetParam()();
  Recorder handler_{world_->happenings};
  std::unique_ptr<Link> link_;
};

TEST_P(LinksTest, CarryMessagesInOrderBothWaysAndProveNames) {
  OnA([&] {
    link_ = Dial(handler_);
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(link_->Send(Numbered(i)));
    EXPECT_EQ(link_->peer().worker, world_->b_id());
  });
  ASSERT_TRUE(UntilReceived(100));
  OnB([&] {
    for (int i = 0; i < 100; ++i) EXPECT_EQ(Taken().handler->numbers[static_cast<size_t>(i)], i);
    EXPECT_EQ(Taken().peer.worker, world_->a_id());
    EXPECT_FALSE(Taken().peer.address.empty());
    for (int i = 0; i < 100; ++i) Taken().link->Send(Numbered(i));
  });
  ASSERT_TRUE(UntilA([&] { return handler_.numbers.size() == 100; }));
  OnA([&] { EXPECT_TRUE(std::is_sorted(handler_.numbers.begin(), handler_.numbers.end())); });
}

TEST_P(LinksTest, KeepTheirKind) {
  std::vector<std::unique_ptr<Link>> links;
  size_t count = 0;
  for (const LinkKind kind : {LinkKind::kControl, LinkKind::kData, LinkKind::kWeights}) {
    OnA([&] { links.push_back(Dial(handler_, kind)); });
    ASSERT_TRUE(UntilTaken(++count));
    OnB([&] { EXPECT_EQ(Taken(count - 1).kind, kind); });
  }
  OnA([&] { links.clear(); });
}

TEST_P(LinksTest, CarryLargeMessagesWhole) {
  StageFrame frame;
  frame.step = {.number = 7, .tokens = std::vector<model::StepToken>(900)};
  for (size_t i = 0; i < frame.step.tokens.size(); ++i) {
    frame.step.tokens[i].sequence = 1;
    frame.step.tokens[i].position = static_cast<int32_t>(i);
  }
  std::mt19937 random(7);
  frame.hidden.resize(frame.step.tokens.size() * 2048);
  for (float& value : frame.hidden) value = static_cast<float>(random());
  OnA([&] {
    link_ = Dial(handler_);
    link_->Send(DataHello{OurVersion("test"), world_->a_id(), world_->b_id()});
    link_->Send(frame);
    link_->Send(Numbered(1, size_t{3} << 20));
  });
  ASSERT_TRUE(UntilReceived(1));
  OnB([&] {
    ASSERT_EQ(Taken().handler->others.size(), 2u);
    const auto* got = std::get_if<StageFrame>(&Taken().handler->others[1]);
    ASSERT_NE(got, nullptr);
    EXPECT_EQ(got->step.number, 7);
    EXPECT_EQ(got->hidden, frame.hidden);
  });
}

TEST_P(LinksTest, CloseSendsWhatIsQueuedThenSaysWhy) {
  OnA([&] {
    link_ = Dial(handler_);
    for (int i = 0; i < 50; ++i) link_->Send(Numbered(i, 100'000));
    link_->Close(absl::AbortedError("enough"));
  });
  ASSERT_TRUE(UntilReceived(50));
  ASSERT_TRUE(UntilB([&] { return Taken().handler->num_closed == 1; }));
  OnB([&] { EXPECT_EQ(Taken().handler->closed, absl::AbortedError("enough")); });
  OnA([&] { EXPECT_EQ(handler_.num_closed, 0); });
}

TEST_P(LinksTest, CloseWorksFromTheOtherEndToo) {
  OpenLink();
  OnB([&] {
    for (int i = 0; i < 50; ++i) Taken().link->Send(Numbered(i, 100'000));
    Taken().link->Close(absl::PermissionDeniedError("not you"));
  });
  ASSERT_TRUE(UntilA([&] { return handler_.num_closed == 1; }));
  OnA([&] {
    EXPECT_EQ(handler_.numbers.size(), 50u);
    EXPECT_EQ(handler_.closed, absl::PermissionDeniedError("not you"));
    EXPECT_TRUE(link_->Send(Numbered(1)));  // goes nowhere
  });
}

TEST_P(LinksTest, AnAcceptorMayCloseAtOnce) {
  OnB([&] { world_->acceptor.refusal = absl::FailedPreconditionError("too old"); });
  OnA([&] {
    link_ = Dial(handler_);
    link_->Send(Numbered(1));
  });
  ASSERT_TRUE(UntilA([&] { return handler_.num_closed == 1; }));
  OnA([&] { EXPECT_EQ(handler_.closed, absl::FailedPreconditionError("too old")); });
  OnB([&] { EXPECT_EQ(Taken().handler->num_closed, 0); });
}

TEST_P(LinksTest, DestroyingALinkClosesItAndSilencesItsHandler) {
  OpenLink();
  OnA([&] {
    OnB([&] { Taken().link->Send(Numbered(1)); });
    link_.reset();
  });
  ASSERT_TRUE(UntilB([&] { return Taken().handler->num_closed == 1; }));
  OnB([&] { EXPECT_EQ(Taken().handler->closed.code(), absl::StatusCode::kUnavailable); });
  OnA([&] {
    EXPECT_TRUE(handler_.numbers.empty());
    EXPECT_EQ(handler_.num_closed, 0);
  });
}

TEST_P(LinksTest, ALinkMayGoWithinItsHandler) {
  OpenLink();
  OnA([&] { handler_.on_message = [&] { link_.reset(); }; });
  OnB([&] {
    for (int i = 0; i < 10; ++i) Taken().link->Send(Numbered(i));
  });
  ASSERT_TRUE(UntilB([&] { return Taken().handler->num_closed == 1; }));
  OnA([&] { EXPECT_EQ(handler_.numbers.size(), 1u); });
}

TEST_P(LinksTest, DialsFailWhereNobodyListensOrSomebodyElseDoes) {
  Recorder nobody(world_->happenings), other(world_->happenings), nowhere(world_->happenings);
  std::vector<std::unique_ptr<Link>> links;
  OnA([&] {
    Transport& transport = world_->a_transport();
    links.push_back(
        transport.Dial(world_->b_id(), {world_->dead_address()}, LinkKind::kData, nobody));
    const WorkerId stranger(32, 'e');
    links.push_back(transport.Dial(stranger, world_->b_addresses(), LinkKind::kData, other));
    links.push_back(transport.Dial(world_->b_id(), {}, LinkKind::kData, nowhere));
    for (const auto& link : links) link->Send(Numbered(1));
  });
  EXPECT_TRUE(
      UntilA([&] { return nobody.num_closed + other.num_closed + nowhere.num_closed == 3; }));
  OnA([&] {
    EXPECT_EQ(nobody.closed.code(), absl::StatusCode::kUnavailable) << nobody.closed;
    EXPECT_EQ(other.closed.code(), absl::StatusCode::kUnauthenticated) << other.closed;
    EXPECT_EQ(nowhere.closed.code(), absl::StatusCode::kUnavailable) << nowhere.closed;
    links.clear();
  });
  OnB([&] { EXPECT_TRUE(world_->acceptor.taken.empty()); });
}

TEST_P(LinksTest, AddressesAreTriedInOrder) {
  OnA([&] {
    std::vector<std::string> addresses = world_->b_addresses();
    addresses.insert(addresses.begin(), world_->dead_address());
    link_ = world_->a_transport().Dial(world_->b_id(), addresses, LinkKind::kData, handler_);
    link_->Send(Numbered(1));
  });
  EXPECT_TRUE(UntilReceived(1));
  OnA([&] { EXPECT_EQ(handler_.num_closed, 0) << handler_.closed; });
}

TEST_P(LinksTest, TheEndOfAProcessIsHeardAtOnce) {
  OpenLink();
  world_->EndB();
  ASSERT_TRUE(UntilA([&] { return handler_.num_closed == 1; }));
  OnA([&] {
    EXPECT_EQ(handler_.closed.code(), absl::StatusCode::kUnavailable) << handler_.closed;
  });
}

// Links that go at every moment of their lives, from both ends: nothing is called after, nothing
// that was closed in order is lost, and all ends.
TEST_P(LinksTest, MayCloseAtEveryMoment) {
  constexpr int kLinks = 20;  // of each round: a peer may have only so many
  std::mt19937 random(1);
  struct Client {
    explicit Client(Happenings& happenings) : handler(happenings) {}
    Recorder handler;
    std::unique_ptr<Link> link;
  };
  std::vector<std::unique_ptr<Client>> clients;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kLinks; ++i) {
      OnA([&] {
        auto& client = clients.emplace_back(std::make_unique<Client>(world_->happenings));
        client->link = Dial(client->handler);
        const auto messages = static_cast<int>(random() % 5);
        for (int n = 0; n < messages; ++n) client->link->Send(Numbered(n, random() % 300'000));
        if (random() % 4 == 0) client->link->Close(absl::AbortedError("early"));
        // An older one goes, with its handler.
        if (random() % 3 == 0)
          clients[random() % clients.size()].reset(new Client(world_->happenings));
      });
      OnB([&] {
        auto& taken = world_->acceptor.taken;
        if (taken.empty()) return;
        Acceptor::Taken& one = taken[random() % taken.size()];
        if (one.link && random() % 2 == 0) one.link->Send(Numbered(i, random() % 300'000));
        if (random() % 3 == 0) one.link.reset();
      });
    }
    OnA([&] { clients.clear(); });
    EXPECT_TRUE(UntilB([&] {
      for (const Acceptor::Taken& one : world_->acceptor.taken)
        if (one.link && one.handler->num_closed != 1) return false;
      return true;
    }));
  }
  OnA([&] {
    link_ = Dial(handler_);
    link_->Send(Numbered(1));
  });
  EXPECT_TRUE(UntilB([&] {
    const auto& last = world_->acceptor.taken.back();
    return last.handler->numbers == std::vector<int64_t>{1};
  }));
}

std::string NameOf(const ::testing::TestParamInfo<MakeLinkWorld>& info) {
  return info.param == &MakeMemoryLinkWorld ? "memory" : "grpc";
}

INSTANTIATE_TEST_SUITE_P(Memory, LinksTest, ::testing::Values(&MakeMemoryLinkWorld), NameOf);
#ifdef POTLUCK_WITH_GRPC
INSTANTIATE_TEST_SUITE_P(Grpc, LinksTest, ::testing::Values(&MakeGrpcLinkWorld), NameOf);
#endif

}  // namespace
}  // namespace potluck::wire
