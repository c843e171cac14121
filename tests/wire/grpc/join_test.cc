// Joining from beginning to end: over a real connection to a real coordinator's server.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tests/wire/links/link_world.h"
#include "tests/wire/testing/test_cluster.h"
#include "wire/grpc/grpc_server.h"
#include "wire/grpc/grpc_transport.h"
#include "wire/grpc/join_client.h"
#include "wire/trust/identity_renewal.h"
#include "wire/trust/join_desk.h"
#include "wire/trust/stored_identity.h"

namespace potluck::wire {
namespace {

class JoinTest : public ::testing::Test {
 protected:
  JoinTest() {
    auto codes = JoinCodes::OpenOrCreate(cluster_.folder(), cluster_.authority().key_name(), now_);
    EXPECT_TRUE(codes.ok()) << codes.status();
    codes_.emplace(*std::move(codes));
    desk_.emplace(
        cluster_.authority(), *codes_, [this] { return now_; }, "0.1.0");
    server_ = Start("127.0.0.1:0", &*desk_);
  }
  ~JoinTest() override { End(server_); }

  std::unique_ptr<GrpcServer> Start(const std::string& address, JoinDesk* desk) {
    std::unique_ptr<GrpcServer> server;
    executor_.RunAndWait([&] {
      auto started = GrpcServer::Start(
          executor_, acceptor_,
          {.identity = cluster_.NewCoordinator(), .addresses = {address}, .join_desk = desk});
      if (started.ok()) server = *std::move(started);
    });
    return server;
  }
  void End(std::unique_ptr<GrpcServer>& server) {
    executor_.RunAndWait([&] {
      server.reset();
      acceptor_.taken.clear();
    });
  }
  JoinCode Code() {
    absl::StatusOr<JoinCode> code;
    executor_.RunAndWait([&] { code = codes_->Current(now_); });
    return *code;
  }
  JoinOptions Options() { return {.line = {server_->addresses()[0], Code()}, .name = "pi"}; }

  Happenings happenings_;
  const absl::Time now_ = TestCluster::now();
  TestCluster cluster_;
  std::optional<JoinCodes> codes_;
  std::optional<JoinDesk> desk_;
  Acceptor acceptor_{happenings_};
  ThreadExecutor executor_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(JoinTest, TheRightCodeMakesAMember) {
  const auto identity = JoinCluster(Options());
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->authority, cluster_.authority().certificate());

  Recorder handler(happenings_);
  std::unique_ptr<GrpcTransport> transport;
  std::unique_ptr<Link> link;
  executor_.RunAndWait([&] {
    transport = std::make_unique<GrpcTransport>(executor_, *identity);
    link = transport->Dial(kCoordinator, server_->addresses(), LinkKind::kControl, handler);
    link->Send(Numbered(1));
  });
  EXPECT_TRUE(happenings_.WaitUntil(executor_, [&] {
    return acceptor_.taken.size() == 1 && acceptor_.taken[0].handler->numbers.size() == 1;
  }));
  executor_.RunAndWait([&] {
    EXPECT_EQ(acceptor_.taken[0].peer.worker, identity->id);
    link.reset();
    transport.reset();
  });
}

TEST_F(JoinTest, AKeyKeepsItsIdAndRenewsWithoutACode) {
  const auto first = JoinCluster(Options());
  ASSERT_TRUE(first.ok()) << first.status();
  JoinOptions options = Options();
  options.private_key = first->private_key;
  const auto second = JoinCluster(options);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->id, first->id);
  const auto renewed = RenewIdentity(*first, server_->addresses()[0], "0.1.0");
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(renewed->id, first->id);
  EXPECT_NE(renewed->certificate, first->certificate);
  EXPECT_EQ(renewed->authority, first->authority);
}

// One that is due, over the wire; and one whose end has come, which is nobody any more.
TEST_F(JoinTest, AWorkerRenewsWhileItRuns) {
  const auto issued = [this](int days_ago) {
    return *cluster_.authority().MakeWorkerIdentity(MakePrivateKey().value(),
                                                    now_ - absl::Hours(24 * days_ago));
  };
  const TlsIdentity due = issued(100);
  ThreadExecutor asking;
  std::optional<TlsIdentity> renewed;
  std::unique_ptr<IdentityRenewal> renewal;
  executor_.RunAndWait([&] {
    renewal = std::make_unique<IdentityRenewal>(
        IdentityRenewal::Options{.identity = due,
                                 .now = [this] { return now_; },
                                 .renew =
                                     [this](const TlsIdentity& old) {
                                       return RenewIdentity(old, server_->addresses()[0], "0.1.0");
                                     },
                                 .renewed =
                                     [&](const TlsIdentity& identity) {
                                       renewed = identity;
                                       happenings_.Note();
                                     }},
        executor_, asking);
  });
  EXPECT_TRUE(happenings_.WaitUntil(executor_, [&] { return renewed.has_value(); }));
  executor_.RunAndWait([&] { renewal.reset(); });
  ASSERT_TRUE(renewed.has_value());
  EXPECT_EQ(renewed->id, due.id);
  EXPECT_GT(LifeOf(*renewed)->end, LifeOf(due)->end);
  EXPECT_FALSE(RenewIdentity(issued(400), server_->addresses()[0], "0.1.0").ok());
}

TEST_F(JoinTest, WrongAndOldCodesAreToldApart) {
  JoinOptions options = Options();
  options.line.code.secret.assign(32, '0');
  const auto wrong = JoinCluster(options).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kPermissionDenied) << wrong;
  EXPECT_NE(wrong.message().find("wrong"), absl::string_view::npos) << wrong;

  options = Options();
  executor_.RunAndWait([&] { EXPECT_TRUE(codes_->Replace(now_).ok()); });
  const auto old = JoinCluster(options).status();
  EXPECT_EQ(old.code(), absl::StatusCode::kPermissionDenied) << old;
  EXPECT_NE(old.message().find("old"), absl::string_view::npos) << old;
}

TEST_F(JoinTest, ACodeOfAnotherClusterTellsItNothing) {
  JoinOptions options = Options();
  options.line.code.authority = TestCluster().authority().key_name();
  const auto status = JoinCluster(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_NE(status.message().find("another cluster"), absl::string_view::npos) << status;
}

TEST_F(JoinTest, NobodyThereIsUnavailable) {
  JoinOptions options = Options();
  options.line.address = "127.0.0.1:1";
  EXPECT_EQ(JoinCluster(options).status().code(), absl::StatusCode::kUnavailable);
  options.line.address = "no-such-host.invalid:7071";
  EXPECT_EQ(JoinCluster(options).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(JoinTest, WorkersSendPeopleToTheCoordinator) {
  JoinOptions options = Options();
  End(server_);
  std::unique_ptr<GrpcServer> worker = Start("127.0.0.1:0", nullptr);
  ASSERT_NE(worker, nullptr);
  options.line.address = worker->addresses()[0];
  EXPECT_EQ(JoinCluster(options).status().code(), absl::StatusCode::kUnimplemented);
  End(worker);
}

TEST_F(JoinTest, NamesAndIpv6Work) {
  JoinOptions options = Options();
  options.line.address.replace(0, options.line.address.find(':'), "localhost");
  EXPECT_TRUE(JoinCluster(options).ok());
  End(server_);
  std::unique_ptr<GrpcServer> six = Start("[::1]:0", &*desk_);
  if (!six) GTEST_SKIP() << "this machine has no IPv6 on loopback";
  options.line.address = six->addresses()[0];
  const auto identity = JoinCluster(options);
  EXPECT_TRUE(identity.ok()) << identity.status();
  EXPECT_TRUE(RenewIdentity(*identity, six->addresses()[0], "").ok());
  End(six);
}

}  // namespace
}  // namespace potluck::wire
