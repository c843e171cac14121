// What strangers and bad peers get from a server, and how much a slow one may cost.
#include "wire/grpc/grpc_server.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "grpc/support/time.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "potluck/v1/cluster.grpc.pb.h"
#include "tests/wire/links/link_world.h"
#include "tests/wire/testing/test_cluster.h"
#include "wire/grpc/codec.h"
#include "wire/grpc/credentials.h"
#include "wire/grpc/grpc_transport.h"
#include "wire/grpc/live_calls.h"

namespace potluck::wire {
namespace {

class GrpcServerTest : public ::testing::Test {
 protected:
  GrpcServerTest() {
    server_executor_.RunAndWait([&] {
      auto server = GrpcServer::Start(server_executor_, acceptor_,
                                      {.identity = coordinator_, .addresses = {"127.0.0.1:0"}});
      ASSERT_TRUE(server.ok()) << server.status();
      server_ = *std::move(server);
    });
    executor_.RunAndWait([&] { transport_ = std::make_unique<GrpcTransport>(executor_, worker_); });
  }
  ~GrpcServerTest() override {
    executor_.RunAndWait([&] {
      link_.reset();
      transport_.reset();
    });
    server_executor_.RunAndWait([&] {
      server_.reset();
      acceptor_.taken.clear();
    });
  }

  std::string target() const { return "ipv4:" + server_->addresses()[0]; }
  void Dial() {
    executor_.RunAndWait([&] {
      link_ = transport_->Dial(kCoordinator, server_->addresses(), LinkKind::kData, handler_);
    });
  }
  bool UntilTaken(size_t count) {
    return happenings_.WaitUntil(server_executor_, [&] { return acceptor_.taken.size() == count; });
  }
  // What a stream of that channel ends with, once it has sent `frame`.
  template <class Request>
  static grpc::Status SendRaw(const std::shared_ptr<grpc::Channel>& channel, const Request& request,
                              v1::Frame* answer = nullptr) {
    grpc::ClientContext context;
    context.set_deadline(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(30, GPR_TIMESPAN)));
    const grpc::internal::RpcMethod method("/potluck.v1.Stage/Data",
                                           grpc::internal::RpcMethod::BIDI_STREAMING);
    const std::unique_ptr<grpc::ClientReaderWriter<Request, v1::Frame>> stream(
        grpc::internal::ClientReaderWriterFactory<Request, v1::Frame>::Create(channel.get(), method,
                                                                              &context));
    stream->Write(request);
    v1::Frame received;
    while (stream->Read(&received))
      if (answer != nullptr) *answer = received;
    return stream->Finish();
  }

  Happenings happenings_;
  const TestCluster cluster_;
  const TlsIdentity coordinator_ = cluster_.NewCoordinator(), worker_ = cluster_.NewWorker();
  Acceptor acceptor_{happenings_};
  Recorder handler_{happenings_};
  ThreadExecutor executor_, server_executor_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<GrpcTransport> transport_;
  std::unique_ptr<Link> link_;
};

TEST_F(GrpcServerTest, StrangersGetNoLink) {
  v1::Frame frame;
  frame.mutable_ping()->set_number(1);
  const auto bare = SendRaw(MakeJoinChannel(coordinator_.authority, target()), frame);
  EXPECT_EQ(bare.error_code(), grpc::StatusCode::UNAUTHENTICATED) << bare.error_message();

  TlsIdentity forged = TestCluster().NewWorker();  // of another authority
  forged.authority = coordinator_.authority;
  EXPECT_FALSE(SendRaw(MakeChannel(forged, kCoordinator, target()), frame).ok());

  EXPECT_FALSE(
      SendRaw(grpc::CreateChannel(target(), grpc::InsecureChannelCredentials()), frame).ok());
  // And the same with a good certificate gets through.
  Dial();
  EXPECT_TRUE(UntilTaken(1));
}

// As in a worker's process, whose server ends first.
TEST_F(GrpcServerTest, ATransportOutlivesTheServerOfItsExecutor) {
  for (int i = 0; i < 20; ++i) {
    ThreadExecutor executor;
    Acceptor acceptor{happenings_};
    Recorder handler{happenings_};
    std::unique_ptr<GrpcServer> server;
    std::unique_ptr<GrpcTransport> transport;
    std::unique_ptr<Link> to_itself, to_other;
    executor.RunAndWait([&] {
      auto started = GrpcServer::Start(executor, acceptor,
                                       {.identity = worker_, .addresses = {"127.0.0.1:0"}});
      ASSERT_TRUE(started.ok()) << started.status();
      server = *std::move(started);
      transport = std::make_unique<GrpcTransport>(executor, worker_);
      to_itself = transport->Dial(worker_.id, server->addresses(), LinkKind::kData, handler);
      to_other = transport->Dial(kCoordinator, server_->addresses(), LinkKind::kData, handler);
    });
    ASSERT_TRUE(happenings_.WaitUntil(executor, [&] { return acceptor.taken.size() == 1; }));
    ASSERT_TRUE(UntilTaken(i + 1));
    executor.RunAndWait([&] {
      server.reset();
      to_itself.reset();
      to_other.reset();
      transport.reset();
      acceptor.taken.clear();
    });
  }
}

// Its certificate runs out, and a new one takes its place while links stand.
TEST_F(GrpcServerTest, AnIdentityIsReplacedUnderLinksThatStand) {
  constexpr absl::Duration kLongAgo = absl::Hours(24 * 365 * 6);
  const auto old_server =
      cluster_.authority().MakeCoordinatorIdentity(TestCluster::now() - kLongAgo);
  const auto old_worker =
      cluster_.authority().MakeWorkerIdentity(worker_.private_key, TestCluster::now() - kLongAgo);
  ASSERT_TRUE(old_server.ok() && old_worker.ok());
  Dial();
  ASSERT_TRUE(UntilTaken(1));
  const auto numbers_come = [&](size_t count) {
    executor_.RunAndWait([&] { link_->Send(Numbered(static_cast<int>(count))); });
    return happenings_.WaitUntil(
        server_executor_, [&] { return acceptor_.taken[0].handler->numbers.size() == count; });
  };
  EXPECT_TRUE(numbers_come(1));
  const auto connects = [&] {
    Recorder handler(happenings_);
    std::unique_ptr<Link> link;
    size_t before = 0;
    server_executor_.RunAndWait([&] { before = acceptor_.taken.size(); });
    executor_.RunAndWait([&] {
      link = transport_->Dial(kCoordinator, server_->addresses(), LinkKind::kData, handler);
    });
    bool taken = false;
    const auto taken_or_closed = [&] {
      server_executor_.RunAndWait([&] { taken = acceptor_.taken.size() > before; });
      return taken || handler.num_closed > 0;
    };
    EXPECT_TRUE(happenings_.WaitUntil(executor_, taken_or_closed));
    executor_.RunAndWait([&] { link.reset(); });
    return taken;
  };
  EXPECT_TRUE(connects());
  server_executor_.RunAndWait([&] { server_->UseIdentity(*old_server); });
  EXPECT_FALSE(connects());
  server_executor_.RunAndWait([&] { server_->UseIdentity(cluster_.NewCoordinator()); });
  EXPECT_TRUE(connects());
  executor_.RunAndWait([&] { transport_->UseIdentity(*old_worker); });
  EXPECT_FALSE(connects());
  executor_.RunAndWait([&] { transport_->UseIdentity(worker_); });
  EXPECT_TRUE(connects());
  // The link of before has heard nothing of it.
  EXPECT_TRUE(numbers_come(2));
  executor_.RunAndWait([&] { EXPECT_EQ(handler_.num_closed, 0); });
}

TEST_F(GrpcServerTest, NonsenseClosesTheLinkAndIsNamed) {
  v1::Frame frame, answer;
  frame.mutable_may_leave();
  frame.set_bulk("x");  // that does not belong to it
  SendRaw(MakeChannel(worker_, kCoordinator, target()), frame, &answer);
  EXPECT_EQ(answer.goodbye().code(), static_cast<int>(absl::StatusCode::kInvalidArgument))
      << answer.ShortDebugString();
  ASSERT_TRUE(happenings_.WaitUntil(server_executor_, [&] {
    return acceptor_.taken.size() == 1 && acceptor_.taken[0].handler->num_closed == 1;
  }));
  server_executor_.RunAndWait([&] {
    EXPECT_EQ(acceptor_.taken[0].handler->closed.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(acceptor_.taken[0].handler->others.empty());
  });
}

// However many links a member opens, others still get theirs.
TEST_F(GrpcServerTest, OneMemberHasAFewLinksAtMost) {
  const TlsIdentity other = cluster_.NewWorker();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReaderWriter<v1::Frame, v1::Frame>>> streams;
  for (size_t i = 0; i < LiveCalls::kMostOfOnePeer; ++i) {  // each has a connection of its own
    const auto stub = v1::Stage::NewStub(MakeChannel(worker_, kCoordinator, target()));
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    streams.push_back(stub->Data(contexts.back().get()));
  }
  ASSERT_TRUE(UntilTaken(streams.size()));
  Dial();
  ASSERT_TRUE(happenings_.WaitUntil(executor_, [&] { return handler_.num_closed == 1; }));
  executor_.RunAndWait([&] {
    EXPECT_EQ(handler_.closed.code(), absl::StatusCode::kResourceExhausted) << handler_.closed;
    transport_ = std::make_unique<GrpcTransport>(executor_, other);
  });
  Dial();
  EXPECT_TRUE(UntilTaken(streams.size() + 1));
  for (size_t i = 0; i < streams.size(); ++i) {
    contexts[i]->TryCancel();
    streams[i]->Finish();
  }
}

TEST_F(GrpcServerTest, BytesThatAreNoFrameCloseTheLink) {
  v1::JoinRequest request;  // its third field is a frame's goodbye
  request.set_proof("\xff\xff\xff\xff");
  v1::Frame answer;
  SendRaw(MakeChannel(worker_, kCoordinator, target()), request, &answer);
  EXPECT_EQ(answer.goodbye().code(), static_cast<int>(absl::StatusCode::kInvalidArgument))
      << answer.ShortDebugString();
}

TEST_F(GrpcServerTest, AFrameThatIsTooLargeEndsTheLink) {
  v1::Frame frame;
  frame.mutable_ping()->set_number(1);
  frame.set_bulk(std::string(2 * kMaxFrameBytes, 'x'));
  grpc::ChannelArguments options;
  options.SetSslTargetNameOverride(TlsName(kCoordinator));
  options.SetMaxSendMessageSize(-1);
  const auto channel = grpc::CreateCustomChannel(
      target(), grpc::SslCredentials({worker_.authority, worker_.private_key, worker_.certificate}),
      options);
  EXPECT_FALSE(SendRaw(channel, frame).ok());
  ASSERT_TRUE(happenings_.WaitUntil(server_executor_, [&] {
    return acceptor_.taken.size() == 1 && acceptor_.taken[0].handler->num_closed == 1;
  }));
  server_executor_.RunAndWait([&] { EXPECT_TRUE(acceptor_.taken[0].handler->numbers.empty()); });
}

// While the server's logic takes nothing, the sender is told to wait, and is heard again when the
// logic goes on; nothing is lost.
TEST_F(GrpcServerTest, ASlowReaderStopsTheWriter) {
  Dial();
  ASSERT_TRUE(UntilTaken(1));
  std::promise<void> go_on;
  server_executor_.Post([held = go_on.get_future().share()] { held.wait(); });
  int64_t sent = 0;
  bool writable = true;
  // More than both sides and the connection between may hold; far from what closes the link.
  while (writable && sent < 200) {
    executor_.RunAndWait([&] { writable = link_->Send(Numbered(sent++, size_t{1} << 20)); });
  }
  EXPECT_FALSE(writable);
  EXPECT_LT(sent, 100);
  executor_.RunAndWait([&] { EXPECT_EQ(handler_.writable, 0); });
  go_on.set_value();
  EXPECT_TRUE(happenings_.WaitUntil(executor_, [&] { return handler_.writable == 1; }));
  EXPECT_TRUE(happenings_.WaitUntil(server_executor_, [&] {
    return acceptor_.taken[0].handler->numbers.size() == static_cast<size_t>(sent);
  }));
}

TEST_F(GrpcServerTest, WhoSendsOnRegardlessLosesTheLink) {
  Dial();
  ASSERT_TRUE(UntilTaken(1));
  std::promise<void> go_on;
  server_executor_.Post([held = go_on.get_future().share()] { held.wait(); });
  for (int i = 0; i < 150; ++i)
    executor_.RunAndWait([&] { link_->Send(Numbered(i, size_t{1} << 20)); });
  EXPECT_TRUE(happenings_.WaitUntil(executor_, [&] { return handler_.num_closed == 1; }));
  executor_.RunAndWait(
      [&] { EXPECT_EQ(handler_.closed.code(), absl::StatusCode::kResourceExhausted); });
  go_on.set_value();
}

TEST_F(GrpcServerTest, HostsAreFoundByName) {
  std::string address = server_->addresses()[0];
  address.replace(0, address.find(':'), "localhost");
  executor_.RunAndWait(
      [&] { link_ = transport_->Dial(kCoordinator, {address}, LinkKind::kControl, handler_); });
  EXPECT_TRUE(UntilTaken(1));
}

TEST_F(GrpcServerTest, SaysThatAPortIsTaken) {
  server_executor_.RunAndWait([&] {
    const auto second =
        GrpcServer::Start(server_executor_, acceptor_,
                          {.identity = coordinator_, .addresses = {server_->addresses()[0]}});
    EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
    const auto nonsense = GrpcServer::Start(server_executor_, acceptor_,
                                            {.identity = coordinator_, .addresses = {"x"}});
    EXPECT_EQ(nonsense.status().code(), absl::StatusCode::kInvalidArgument) << nonsense.status();
  });
}

}  // namespace
}  // namespace potluck::wire
