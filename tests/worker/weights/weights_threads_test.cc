// The same over threads as programs have them: one for each role's logic, its files and its device.
#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <utility>

#include "common/thread_executor.h"
#include "kernels/devices.h"
#include "wire/memory/memory_network.h"
#include "wire/version.h"
#include "wire/weights/weights_server.h"
#include "worker/weights/weights_loader.h"

namespace potluck::worker {
namespace {

using Loaded = absl::StatusOr<std::unique_ptr<StageRunner>>;

wire::Peer Coordinator() {
  wire::Peer peer;
  peer.worker = wire::kCoordinator;
  peer.name = "home";
  peer.addresses = {"home:1"};
  return peer;
}

class WeightsThreadsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/weights_threads_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    auto file = model::OpenModelFile(std::string(POTLUCK_SOURCE_DIR) +
                                     "/deploy/demo/potluck-demo-1m-q8_0.gguf");
    ASSERT_TRUE(file.ok()) << file.status();
    const auto indexed = model::MakeManifest(*file, {.num_threads = 2});
    ASSERT_TRUE(indexed.ok()) << indexed.status();
    plan_.manifest = indexed->address.bytes;
    plan_.device = "cpu";
    plan_.range = model::StageRange::Whole(*file->config);
    plan_.context_length = plan_.kv_capacity = 64;
    plan_.max_sequences = plan_.max_outputs = 1;
    plan_.max_tokens = 16;
    home_.RunAndWait([&] {
      const auto files = std::make_shared<model::LocalFiles>();
      files->Add(*indexed);
      home_link_ = network_.AddNode(wire::kCoordinator, {"home:1"}, home_);
      server_ = std::make_unique<wire::WeightsServer>(
          wire::WeightsServerOptions{wire::OurVersion("test"), "home"},
          model::BlobStore(nullptr, files), home_, files_);
      server_->AddManifest(indexed->address, indexed->bytes);
      home_link_->Listen(*server_);
    });
    auto cache = model::BlobCache::Open({.folder = folder_,
                                         .min_free_bytes = 0,
                                         .now = [] { return absl::FromUnixSeconds(1); },
                                         .free_bytes = nullptr});
    ASSERT_TRUE(cache.ok()) << cache.status();
    logic_.RunAndWait([&] {
      link_ = network_.AddNode("w1", {}, logic_);
      WeightsLoaderOptions options;
      options.coordinator = Coordinator();
      options.claims = &claims_;
      options.open_device = [this](const std::string& device) {
        if (before_opening_) before_opening_();
        return kernels::OpenDevice({.device = device, .num_threads = 1, .target = ""});
      };
      options.make_thread = [] { return std::make_unique<ThreadExecutor>(); };
      loader_ = std::make_unique<WeightsLoader>(
          std::move(options), model::BlobStore(*cache, std::make_shared<model::LocalFiles>()),
          WeightsSurroundings{"w1", wire::OurVersion("test"), logic_, files_, disposal_, *link_});
    });
  }
  void TearDown() override {
    logic_.RunAndWait([&] {
      loading_.reset();
      runner_.reset();
      loader_.reset();
      link_.reset();
    });
    disposal_.RunAndWait([] {});
    home_.RunAndWait([&] {
      server_.reset();
      home_link_.reset();
    });
    std::filesystem::remove_all(folder_);
  }
  std::string folder_;
  wire::Prepare plan_;
  MemoryClaims claims_{0};
  std::function<void()> before_opening_;  // on the stage's thread
  wire::MemoryNetwork network_;
  ThreadExecutor disposal_, home_, logic_, files_;
  std::unique_ptr<wire::MemoryTransport> home_link_, link_;
  std::unique_ptr<wire::WeightsServer> server_;
  std::unique_ptr<WeightsLoader> loader_;
  std::unique_ptr<StageLoader::Loading> loading_;
  std::unique_ptr<StageRunner> runner_;
};

TEST_F(WeightsThreadsTest, LoadsAndRuns) {
  std::promise<absl::Status> loaded;
  logic_.RunAndWait([&] {
    loading_ = loader_->Load(
        plan_, [](double) {},
        [&](Loaded runner) {
          const absl::Status status = runner.status();
          if (runner.ok()) runner_ = *std::move(runner);
          loaded.set_value(status);
        });
  });
  const absl::Status status = loaded.get_future().get();
  ASSERT_TRUE(status.ok()) << status;
  std::promise<absl::StatusOr<StageOutput>> answered;
  logic_.RunAndWait([&] {
    wire::BeginCommand begin;
    begin.start.sequence = 1;
    begin.start.prompt_length = 1;
    wire::StageFrame frame;
    frame.commands = {begin};
    frame.step.tokens = {{.sequence = 1, .id = 1, .wanted = model::Wanted::kSample}};
    runner_->Run(frame, {},
                 [&](absl::StatusOr<StageOutput> output) { answered.set_value(output); });
  });
  const auto output = answered.get_future().get();
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->tokens.size(), 1u);
}

// In whatever is going on once so much is there.
TEST_F(WeightsThreadsTest, EndsAtAnyTime) {
  for (int round = 0; round < 20; ++round) {
    std::promise<void> reached;
    bool told = false;  // on logic_
    const auto tell = [&] {
      if (!std::exchange(told, true)) reached.set_value();
    };
    logic_.RunAndWait([&] {
      loading_ = loader_->Load(
          plan_,
          [&](double fraction) {
            if (fraction >= round * 0.05) tell();
          },
          [&](const Loaded& loaded) {
            EXPECT_TRUE(loaded.ok()) << loaded.status();
            tell();
          });
    });
    reached.get_future().get();
    logic_.RunAndWait([&] { loading_.reset(); });
  }
}

// The logic sends heartbeats: it waits for no device.
TEST_F(WeightsThreadsTest, GivesUpWithoutWaiting) {
  std::promise<void> opening, may_go_on, given_up;
  std::promise<int64_t> held_by_next;
  before_opening_ = [&, is_first = true]() mutable {
    if (!std::exchange(is_first, false)) {
      held_by_next.set_value(claims_.HeldBytes("cpu"));
      return;
    }
    opening.set_value();
    may_go_on.get_future().wait();
  };
  logic_.RunAndWait([&] {
    loading_ = loader_->Load(
        plan_, [](double) {}, [](const Loaded&) { ADD_FAILURE() << "it was given up"; });
  });
  opening.get_future().wait();
  logic_.Post([&] {
    loading_.reset();
    given_up.set_value();
  });
  const std::future<void> gone = given_up.get_future();
  if (gone.wait_for(std::chrono::seconds(30)) != std::future_status::ready) {
    may_go_on.set_value();
    gone.wait();
    FAIL() << "it waits for the device";
  }
  const int64_t held = claims_.HeldBytes("cpu");
  EXPECT_GT(held, 0) << "the device may have it still";

  // The next one begins when all of that is given back.
  logic_.RunAndWait([&] {
    loading_ = loader_->Load(
        plan_, [](double) {},
        [](const Loaded& loaded) { EXPECT_TRUE(loaded.ok()) << loaded.status(); });
  });
  may_go_on.set_value();
  EXPECT_EQ(held_by_next.get_future().get(), held);
}

}  // namespace
}  // namespace potluck::worker
