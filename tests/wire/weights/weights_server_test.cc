#include "wire/weights/weights_server.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/testing/simulated_executor.h"
#include "wire/memory/memory_network.h"
#include "wire/version.h"

namespace potluck::wire {
namespace {

using model::Blob;
using model::kChunkBytes;

struct Client final : LinkHandler {
  void OnMessage(Message message) override { messages.push_back(std::move(message)); }
  void OnClosed(absl::Status why) override { closed = std::move(why); }
  std::vector<Message> messages;
  absl::Status closed;
  std::unique_ptr<Link> link;
};

class WeightsServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/weights_server_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    auto cache = model::BlobCache::Open({.folder = folder_,
                                         .min_free_bytes = 0,
                                         .now = [] { return absl::FromUnixSeconds(1); },
                                         .free_bytes = nullptr});
    ASSERT_TRUE(cache.ok()) << cache.status();
    content_.resize(kChunkBytes + (kChunkBytes / 2) + 3);
    for (size_t i = 0; i < content_.size(); ++i)
      content_[i] = static_cast<char>(i * 2654435761u >> 24);
    const auto bytes = std::as_bytes(std::span(content_.data(), content_.size()));
    blob_ = model::BlobOf(bytes);
    const auto writer = (*cache)->Write(blob_);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->WriteChunk(0, bytes.first(kChunkBytes)).ok());
    ASSERT_TRUE((*writer)->WriteChunk(1, bytes.subspan(kChunkBytes)).ok());
    ASSERT_TRUE((*writer)->Finish().ok());
    server_ = std::make_unique<WeightsServer>(
        WeightsServerOptions{OurVersion("test"), "home"},
        model::BlobStore(*cache, std::make_shared<model::LocalFiles>()), *executor_, *files_);
    transport_->Listen(*server_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Client> Dial(LinkKind kind = LinkKind::kWeights, bool hello = true) {
    auto client = std::make_unique<Client>();
    client->link = peer_->Dial("home", {"home:1"}, kind, *client);
    if (hello) client->link->Send(Hello());
    return client;
  }
  static WeightsHello Hello() {
    WeightsHello hello;
    hello.version = OurVersion("test");
    hello.from = "peer";
    return hello;
  }
  ChunkRequest Chunk(int64_t index) const { return {.blob = blob_.id.bytes, .index = index}; }
  // All of a chunk's pieces, from message `at` on; moves it behind them.
  static std::string Join(const Client& client, size_t& at) {
    std::string bytes;
    for (; at < client.messages.size(); ++at) {
      const auto& piece = std::get<ChunkPiece>(client.messages[at]);
      EXPECT_TRUE(piece.status.ok()) << piece.status;
      EXPECT_EQ(piece.offset, static_cast<int64_t>(bytes.size()));
      EXPECT_LE(piece.bytes.size(), size_t{1} << 20);
      bytes += piece.bytes;
      if (piece.last) {
        ++at;
        break;
      }
    }
    return bytes;
  }

  std::string folder_, content_;
  Blob blob_;
  SimulatedTime time_;
  MemoryNetwork network_;
  std::unique_ptr<SimulatedExecutor> executor_ = time_.MakeExecutor(),
                                     files_ = time_.MakeExecutor(),
                                     peer_executor_ = time_.MakeExecutor();
  std::unique_ptr<MemoryTransport> transport_ = network_.AddNode("home", {"home:1"}, *executor_),
                                   peer_ = network_.AddNode("peer", {}, *peer_executor_);
  std::unique_ptr<WeightsServer> server_;
};

TEST_F(WeightsServerTest, AnswersInOrder) {
  server_->AddManifest(Sha256("m"), "the manifest");
  const auto client = Dial();
  client->link->Send(Chunk(1));
  client->link->Send(ManifestRequest{.manifest = Sha256("m").bytes});
  client->link->Send(Chunk(0));
  time_.RunFor(absl::Seconds(1));
  size_t at = 0;
  EXPECT_EQ(Join(*client, at), content_.substr(kChunkBytes));
  EXPECT_EQ(std::get<ManifestReply>(client->messages.at(at++)).bytes, "the manifest");
  EXPECT_EQ(Join(*client, at), content_.substr(0, kChunkBytes));
  EXPECT_EQ(at, client->messages.size());
  EXPECT_EQ(server_->sent_bytes(), static_cast<int64_t>(content_.size()));
}

TEST_F(WeightsServerTest, SaysWhatItHasNot) {
  const auto client = Dial();
  ChunkRequest unknown = Chunk(0);
  unknown.blob[0] ^= 1;
  client->link->Send(unknown);
  client->link->Send(Chunk(2));
  client->link->Send(Chunk(-1));
  client->link->Send(Chunk(int64_t{1} << 62));
  client->link->Send(ManifestRequest{});
  time_.RunFor(absl::Seconds(1));
  ASSERT_EQ(client->messages.size(), 5u);
  EXPECT_TRUE(absl::IsNotFound(std::get<ChunkPiece>(client->messages[0]).status));
  for (const size_t i : {1, 2, 3}) {
    const auto& piece = std::get<ChunkPiece>(client->messages[i]);
    EXPECT_TRUE(absl::IsInvalidArgument(piece.status)) << piece.status;
    EXPECT_TRUE(piece.last && piece.bytes.empty());
  }
  EXPECT_TRUE(absl::IsNotFound(std::get<ManifestReply>(client->messages[4]).status));
  EXPECT_TRUE(client->closed.ok());
}

TEST_F(WeightsServerTest, ClosesWhatIsNonsense) {
  const auto ends = [&](const std::function<void(Link&)>& speak, absl::StatusCode code,
                        bool hello = true) {
    const auto client = Dial(LinkKind::kWeights, hello);
    speak(*client->link);
    time_.RunFor(absl::Seconds(30));
    EXPECT_EQ(client->closed.code(), code) << client->closed;
    EXPECT_EQ(server_->num_links(), 0u);
  };
  ends([&](Link& link) { link.Send(Chunk(0)); }, absl::StatusCode::kInvalidArgument, false);
  ends([](Link&) {}, absl::StatusCode::kDeadlineExceeded, false);
  ends([](Link& link) { link.Send(Fence{}); }, absl::StatusCode::kInvalidArgument);
  ends([](Link& link) { link.Send(Hello()); }, absl::StatusCode::kInvalidArgument);
  ends(
      [](Link& link) {
        WeightsHello hello = Hello();
        hello.version.major = 99;
        link.Send(hello);
      },
      absl::StatusCode::kFailedPrecondition, false);
  ends(
      [&](Link& link) {
        for (size_t i = 0; i < WeightsServer::kMostWaitingRequests + 2; ++i) link.Send(Chunk(0));
      },
      absl::StatusCode::kInvalidArgument);
  const auto data = Dial(LinkKind::kData);
  time_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(absl::IsInvalidArgument(data->closed)) << data->closed;
}

TEST_F(WeightsServerTest, BoundsItsLinksAndForgetsThem) {
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i <= WeightsServer::kMostLinks; ++i) clients.push_back(Dial());
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_->num_links(), WeightsServer::kMostLinks);
  EXPECT_TRUE(absl::IsResourceExhausted(clients.back()->closed)) << clients.back()->closed;
  // One goes while its chunk is being read.
  clients[0]->link->Send(Chunk(0));
  while (time_.RunNext() && server_->num_links() == 0) {
  }
  clients.clear();
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_->num_links(), 0u);
  // The server goes while it reads.
  const auto last = Dial();
  last->link->Send(Chunk(0));
  time_.RunFor(absl::ZeroDuration());
  server_.reset();
  time_.RunFor(absl::Seconds(1));
}

}  // namespace
}  // namespace potluck::wire
