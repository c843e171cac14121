// What a hop costs beyond computing: a step's frame goes over a data link (gRPC, mutual TLS, on
// loopback) to another executor, as from one stage's worker to the next one's, and comes back.
// Printed is half of that: the median, the slowest of a hundred, and for large frames the rate.
//
//   hop_bench [--width=2048] [--frames=2000]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/check.h"
#include "common/thread_executor.h"
#include "wire/grpc/grpc_server.h"
#include "wire/grpc/grpc_transport.h"
#include "wire/trust/cluster_authority.h"
#include "wire/trust/keys.h"
#include "wire/version.h"

namespace potluck::wire {
namespace {

// TLS libraries look at the real clock.
absl::Time Today() { return absl::FromTimeT(std::time(nullptr)); }

TlsIdentity NewMember(const ClusterAuthority& authority) {
  return authority.MakeWorkerIdentity(MakePrivateKey().value(), Today()).value();
}

// Sends all frames back.
class Mirror final : public LinkAcceptor, public LinkHandler {
 public:
  LinkHandler& OnLink(LinkKind, std::unique_ptr<Link> link) override {
    link_ = std::move(link);
    return *this;
  }
  void OnMessage(Message message) override {
    if (std::holds_alternative<StageFrame>(message)) link_->Send(std::move(message));
  }
  void OnClosed(absl::Status) override { link_.reset(); }

 private:
  std::unique_ptr<Link> link_;
};

// One frame at a time, there and back. Lives on its executor.
class Player final : public LinkHandler {
 public:
  explicit Player(const Clock& clock) : clock_(clock) {}

  std::future<std::vector<double>> Play(Link& link, StageFrame frame, int count) {
    link_ = &link;
    frame_ = std::move(frame);
    left_ = count;
    seconds_.clear();
    done_ = {};
    Serve();
    return done_.get_future();
  }
  void OnMessage(Message message) override {
    seconds_.push_back(absl::ToDoubleSeconds(clock_.SinceStart() - sent_) / 2);
    frame_ = std::get<StageFrame>(std::move(message));
    if (--left_ > 0) {
      Serve();
    } else {
      done_.set_value(std::move(seconds_));
    }
  }
  void OnClosed(absl::Status why) override {
    std::fprintf(stderr, "hop_bench: the link broke: %s\n", why.ToString().c_str());
    std::exit(1);
  }

 private:
  void Serve() {
    sent_ = clock_.SinceStart();
    link_->Send(std::move(frame_));
  }

  const Clock& clock_;
  Link* link_ = nullptr;
  StageFrame frame_;
  int left_ = 0;
  absl::Duration sent_;
  std::vector<double> seconds_;
  std::promise<std::vector<double>> done_;
};

StageFrame FrameOf(int64_t tokens, int64_t width) {
  StageFrame frame;
  frame.step = {.instance = 1, .epoch = {1, 1}, .number = 1, .tokens = {}};
  for (int32_t i = 0; i < tokens; ++i)
    frame.step.tokens.push_back({.sequence = 1, .id = 5, .position = i, .parent = i - 1});
  frame.hidden.assign(static_cast<size_t>(tokens * width), 0.5f);
  frame.timings.push_back({1e-3, 1e-3});
  return frame;
}

void Report(int64_t tokens, int64_t width, std::vector<double> seconds) {
  std::ranges::sort(seconds);
  const double median = seconds[seconds.size() / 2], slow = seconds[seconds.size() * 99 / 100];
  const double bytes = static_cast<double>(tokens * width) * sizeof(float);
  std::printf("%6d %10.0f %14.1f %14.1f %10.2f\n", static_cast<int>(tokens), bytes / 1024,
              median * 1e6, slow * 1e6, bytes / median * 1e-9);
}

int64_t Option(int argc, char** argv, std::string_view name, int64_t otherwise) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(name)) return std::atoll(argument.substr(name.size()).data());
  }
  return otherwise;
}

int Run(int argc, char** argv) {
  const int64_t width = Option(argc, argv, "--width=", 2048);
  const auto count = static_cast<int>(Option(argc, argv, "--frames=", 2000));
  std::string folder = (std::filesystem::temp_directory_path() / "potluck-bench-XXXXXX").string();
  POTLUCK_CHECK(mkdtemp(folder.data()) != nullptr);
  const auto authority = ClusterAuthority::OpenOrCreate(folder, Today());
  POTLUCK_CHECK(authority.ok());
  const TlsIdentity here = NewMember(*authority), there = NewMember(*authority);
  std::filesystem::remove_all(folder);

  ThreadExecutor near, far;
  Mirror mirror;
  Player player(near.clock());
  std::unique_ptr<GrpcServer> server;
  std::unique_ptr<GrpcTransport> transport;
  std::unique_ptr<Link> link;
  far.RunAndWait([&] {
    auto started =
        GrpcServer::Start(far, mirror, {.identity = there, .addresses = {"127.0.0.1:0"}});
    POTLUCK_CHECK(started.ok());
    server = *std::move(started);
  });
  near.RunAndWait([&] {
    transport = std::make_unique<GrpcTransport>(near, here);
    link = transport->Dial(there.id, server->addresses(), LinkKind::kData, player);
    link->Send(DataHello{.version = OurVersion("bench"), .from = here.id, .to = there.id});
  });
  std::printf("tokens  KiB/frame      median us   99th perc. us      GB/s\n");
  for (const int64_t tokens : {1, 4, 16, 64, 256}) {
    std::future<std::vector<double>> seconds;
    // The first frames find the link being set up and the CPU asleep.
    near.RunAndWait([&] { seconds = player.Play(*link, FrameOf(tokens, width), 100); });
    seconds.get();
    near.RunAndWait([&] { seconds = player.Play(*link, FrameOf(tokens, width), count); });
    Report(tokens, width, seconds.get());
  }
  near.RunAndWait([&] {
    link.reset();
    transport.reset();
  });
  far.RunAndWait([&] { server.reset(); });
  return 0;
}

}  // namespace
}  // namespace potluck::wire

int main(int argc, char** argv) { return potluck::wire::Run(argc, argv); }
