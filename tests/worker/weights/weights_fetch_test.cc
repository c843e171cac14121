#include "worker/weights/weights_fetch.h"

#include <gtest/gtest.h>

#include "tests/worker/weights/weights_world.h"

namespace potluck::worker {
namespace {

using model::Blob;
using model::kChunkBytes;

class WeightsFetchTest : public WeightsWorld {
 protected:
  void SetUp() override {
    WeightsWorld::SetUp();
    AddNode("w1");
    content_ = Content(5 * kChunkBytes + 77, 1);
    small_ = Content(1000, 2);
    blobs_ = {model::BlobOf(BytesOf(content_)), model::BlobOf(BytesOf(small_))};
    owner_ = OpenStore("owner").cache();
    Put(*owner_, content_);
    Put(*owner_, small_);
    cache_ = OpenCache("cache");
  }
  model::BlobStore Owner() { return {owner_, std::make_shared<model::LocalFiles>()}; }

  model::BlobStore Store() { return {cache_, files_}; }
  void Start(const std::vector<std::string>& sources, const FetchOptions& options = {}) {
    std::vector<wire::Peer> peers;
    for (const std::string& name : sources) peers.push_back(PeerOf(name));
    around_ = std::make_unique<WeightsSurroundings>(Around("w1"));
    fetch_ = std::make_unique<WeightsFetch>(*around_, Store(), std::move(peers), options);
    fetch_->GetBlobs(
        blobs_, [this](uint64_t bytes) { stored_ += bytes; },
        [this](absl::Status status) {
          done_ = true;
          status_ = std::move(status);
          fetch_.reset();
        });
  }
  absl::Status Fetch(const std::vector<std::string>& sources, const FetchOptions& options = {}) {
    done_ = false;
    Start(sources, options);
    EXPECT_TRUE(time_.RunUntil([this] { return done_; }, absl::Minutes(30)));
    return status_;
  }
  void ExpectAllThere() {
    EXPECT_EQ(stored_, content_.size() + small_.size());
    for (const Blob& blob : blobs_) EXPECT_TRUE(cache_->Has(blob));
    const auto mapped = cache_->Map(blobs_[0]);
    ASSERT_TRUE(mapped.ok()) << mapped.status();
    EXPECT_TRUE(std::ranges::equal((*mapped)->bytes(), BytesOf(content_)));
  }
  // A source that has everything, but whose answers `change` spoils.
  void Spoil(ScriptedSource& source,
             const std::function<std::vector<wire::Message>(wire::ChunkPiece)>& change) {
    source.on_chunk = [this, change](const wire::ChunkRequest& request) {
      wire::ChunkPiece piece;
      piece.blob = request.blob;
      piece.index = request.index;
      piece.last = true;
      const std::string& content = Sha256Digest{request.blob} == blobs_[0].id ? content_ : small_;
      piece.bytes = content.substr(request.index * kChunkBytes, kChunkBytes);
      return change(piece);
    };
  }

  std::string content_, small_;
  std::vector<Blob> blobs_;
  std::shared_ptr<model::BlobCache> owner_, cache_;
  const std::shared_ptr<model::LocalFiles> files_ = std::make_shared<model::LocalFiles>();
  std::unique_ptr<WeightsSurroundings> around_;
  std::unique_ptr<WeightsFetch> fetch_;
  uint64_t stored_ = 0;
  bool done_ = false;
  absl::Status status_;
};

TEST_F(WeightsFetchTest, FetchesFromOneSource) {
  Serve("home", Owner());
  EXPECT_TRUE(Fetch({"home"}).ok()) << status_;
  ExpectAllThere();
  EXPECT_EQ(nodes_.at("home").server->sent_bytes(),
            static_cast<int64_t>(content_.size() + small_.size()));
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(network_.num_open_links(), 0);
  EXPECT_EQ(nodes_.at("home").server->num_links(), 0u);
}

TEST_F(WeightsFetchTest, FastSourcesCarryMore) {
  Serve("slow", Owner());
  Serve("fast", Owner());
  faults_.bytes_per_second = {{"slow", 2e6}, {"fast", 20e6}};
  EXPECT_TRUE(Fetch({"slow", "fast"}, {.chunks_per_source = 1}).ok()) << status_;
  ExpectAllThere();
  const int64_t slow = nodes_.at("slow").server->sent_bytes();
  EXPECT_GT(slow, 0);
  EXPECT_GT(nodes_.at("fast").server->sent_bytes(), 2 * slow);
  EXPECT_EQ(slow + nodes_.at("fast").server->sent_bytes(),
            static_cast<int64_t>(content_.size() + small_.size()));
}

TEST_F(WeightsFetchTest, GoesOnWhereAnEarlierFetchWasEnded) {
  Serve("home", Owner());
  faults_.bytes_per_second = {{"home", 4e6}};
  Start({"home"});
  EXPECT_TRUE(time_.RunUntil([this] { return stored_ >= 3 * kChunkBytes; }, absl::Minutes(1)));
  fetch_.reset();
  time_.RunFor(absl::Minutes(1));
  EXPECT_FALSE(done_);
  EXPECT_FALSE(cache_->Has(blobs_[0]));
  const int64_t sent = nodes_.at("home").server->sent_bytes();
  nodes_.at("home").server.reset();
  nodes_.at("home").transport.reset();
  stored_ = 0;
  Serve("home2", Owner());
  EXPECT_TRUE(Fetch({"home2"}).ok()) << status_;
  ExpectAllThere();
  EXPECT_LE(nodes_.at("home2").server->sent_bytes(),
            static_cast<int64_t>(content_.size() + small_.size() - 3 * kChunkBytes));
  EXPECT_LE(sent, static_cast<int64_t>(content_.size() + small_.size()));
}

TEST_F(WeightsFetchTest, DialsAgainAfterACut) {
  Serve("home", Owner());
  faults_.breaks = "home";
  faults_.pieces_until_break = 10;
  EXPECT_TRUE(Fetch({"home"}).ok()) << status_;
  ExpectAllThere();
}

TEST_F(WeightsFetchTest, GivesUpWhatCannotBeReached) {
  Serve("home", Owner());
  faults_.unreachable = "home";
  const absl::Status status = Fetch({"home"});
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(status.message().find("home: "), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("cannot be reached"), absl::string_view::npos) << status;
}

TEST_F(WeightsFetchTest, AsksAnotherForWhatOneLacks) {
  const auto little = OpenCache("little");
  Put(*little, small_);
  Serve("little", {little, std::make_shared<model::LocalFiles>()});
  Serve("home", Owner());
  EXPECT_TRUE(Fetch({"little", "home"}).ok()) << status_;
  ExpectAllThere();
  // Nobody has it.
  cache_ = OpenCache("cache2");
  const absl::Status status = Fetch({"little"});
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(status.message().find(blobs_[0].id.ToHex()), absl::string_view::npos) << status;
}

using Change = std::vector<wire::Message> (*)(wire::ChunkPiece);
struct Lie {
  const char* name;
  Change change;
};
std::ostream& operator<<(std::ostream& out, const Lie& lie) { return out << lie.name; }

class LyingSourceTest : public WeightsFetchTest, public ::testing::WithParamInterface<Lie> {};

// Whatever it does, the fetch ends well with an honest one beside it, and in an error without.
TEST_P(LyingSourceTest, IsDropped) {
  ScriptedSource& liar = Script("liar");
  Spoil(liar, GetParam().change);
  Serve("home", Owner());
  EXPECT_TRUE(Fetch({"liar", "home"}).ok()) << status_;
  ExpectAllThere();
  EXPECT_GT(liar.num_requests, 0);
  EXPECT_FALSE(liar.closed.ok());
  EXPECT_EQ(liar.num_links, 1);
  cache_ = OpenCache("cache2");
  const absl::Status status = Fetch({"liar"});
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_FALSE(cache_->Has(blobs_[0]));
}

INSTANTIATE_TEST_SUITE_P(Lies, LyingSourceTest,
                         ::testing::
                             Values(Lie{"wrong bytes",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          piece.bytes[piece.bytes.size() / 2] ^= 1;
                                          return {piece};
                                        }},
                                    Lie{"another chunk's bytes",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          std::ranges::reverse(piece.bytes);
                                          return {piece};
                                        }},
                                    Lie{"too short",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          piece.bytes.pop_back();
                                          return {piece};
                                        }},
                                    Lie{"too long",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          piece.bytes += "x";
                                          return {piece};
                                        }},
                                    Lie{"never last",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          piece.last = false;
                                          return {piece};
                                        }},
                                    Lie{"empty pieces",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          piece.last = false;
                                          piece.bytes.clear();
                                          return {piece, piece};
                                        }},
                                    Lie{"a gap",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          piece.offset = 1;
                                          return {piece};
                                        }},
                                    Lie{"what nobody asked for",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          ++piece.index;
                                          return {piece};
                                        }},
                                    Lie{"a negative index",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          piece.index = -1;
                                          return {piece};
                                        }},
                                    Lie{"every answer twice",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          piece.status = absl::InternalError("my disk is broken");
                                          return {piece, piece};
                                        }},
                                    Lie{"another message",
                                        [](wire::ChunkPiece) -> std::vector<wire::Message> {
                                          return {wire::Fence{}};
                                        }},
                                    Lie{"silence",
                                        [](wire::ChunkPiece) -> std::vector<wire::Message> {
                                          return {};
                                        }},
                                    Lie{"silence after a piece",
                                        [](wire::ChunkPiece piece) -> std::vector<wire::Message> {
                                          piece.last = false;
                                          piece.bytes.resize(piece.bytes.size() / 2);
                                          return {piece};
                                        }}));

TEST_F(WeightsFetchTest, WaitsForAnotherProcessThatFetchesTheSame) {
  Serve("home", Owner());
  auto theirs = cache_->Write(blobs_[1]);
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  Start({"home"});
  time_.RunFor(absl::Seconds(5));
  EXPECT_FALSE(done_);
  EXPECT_TRUE(cache_->Has(blobs_[0]));
  ASSERT_TRUE((*theirs)->WriteChunk(0, BytesOf(small_)).ok());
  ASSERT_TRUE((*theirs)->Finish().ok());
  EXPECT_TRUE(time_.RunUntil([this] { return done_; }, absl::Seconds(5)));
  EXPECT_TRUE(status_.ok()) << status_;
  ExpectAllThere();
  EXPECT_EQ(nodes_.at("home").server->sent_bytes(), static_cast<int64_t>(content_.size()));
}

TEST_F(WeightsFetchTest, DoesNotWaitForEverForOneThatHangs) {
  Serve("home", Owner());
  const auto theirs = cache_->Write(blobs_[1]);
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  EXPECT_TRUE(Fetch({"home"}).ok()) << status_;
  ExpectAllThere();
}

TEST_F(WeightsFetchTest, SaysThatTheCacheIsTooSmall) {
  Serve("home", Owner());
  cache_ = OpenCache("tiny", 2 * kChunkBytes);
  const absl::Status status = Fetch({"home"});
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_NE(status.message().find("8.0 MiB"), absl::string_view::npos) << status;
}

TEST_F(WeightsFetchTest, GetsAManifestFromWhomeverHasIt) {
  const std::string bytes = "{\"any\":\"text\"}";
  const Sha256Digest address = Sha256(bytes);
  Serve("empty", OpenStore("empty"));
  ScriptedSource& liar = Script("liar");
  liar.on_manifest = [](const wire::ManifestRequest& request) -> std::vector<wire::Message> {
    return {wire::ManifestReply{.manifest = request.manifest, .status = {}, .bytes = "{}"}};
  };
  Serve("home", Owner()).server->AddManifest(address, bytes);
  around_ = std::make_unique<WeightsSurroundings>(Around("w1"));
  const auto get = [&](std::vector<wire::Peer> peers) {
    fetch_ = std::make_unique<WeightsFetch>(*around_, Store(), std::move(peers), FetchOptions());
    absl::StatusOr<std::string> got = absl::UnknownError("nothing came");
    fetch_->GetManifest(address, [&](absl::StatusOr<std::string> result) { got = result; });
    time_.RunFor(absl::Minutes(5));
    return got;
  };
  const auto got = get({PeerOf("empty"), PeerOf("liar"), PeerOf("home")});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, bytes);
  EXPECT_TRUE(absl::IsDataLoss(liar.closed)) << liar.closed;
  const auto none = get({PeerOf("empty"), PeerOf("liar")});
  EXPECT_TRUE(absl::IsUnavailable(none.status())) << none.status();
  EXPECT_NE(none.status().message().find("liar: sent another manifest"), absl::string_view::npos)
      << none.status();
}

}  // namespace
}  // namespace potluck::worker
