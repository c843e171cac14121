#include "model/store/stored_model.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "kernels/reference/reference_backend.h"
#include "model/decoder/decoder_stage.h"
#include "model/store/manifest_cache.h"
#include "tests/testing/model_runner.h"

namespace potluck::model {
namespace {

namespace fs = std::filesystem;

const std::string kRoot = POTLUCK_SOURCE_DIR;
const std::string kDemo = kRoot + "/deploy/demo/potluck-demo-1m-q8_0.gguf";

std::unique_ptr<DecoderStage> LoadStage(const ModelConfig& config, const WeightSource& source,
                                        kernels::Backend& backend, const StageRange& range) {
  auto stage = DecoderStage::Load(config, source, backend,
                                  {.range = range,
                                   .context_length = 32,
                                   .kv = {.dtype = kernels::DType::kF32, .capacity = 32},
                                   .max_tokens = 8,
                                   .max_outputs = 8});
  EXPECT_TRUE(stage.ok()) << stage.status();
  return stage.ok() ? *std::move(stage) : nullptr;
}

std::vector<float> LogitsOf(const ModelConfig& config, const WeightSource& source) {
  kernels::ReferenceBackend backend;
  const auto stage = LoadStage(config, source, backend, StageRange::Whole(config));
  if (stage == nullptr) return {};
  const std::vector<TokenId> prompt = {1, 5, 9, 2, 30, 17, 4};
  EXPECT_EQ(*stage->kv().Begin(1, prompt), 0);
  const auto logits = RunTokens(*stage, 1, prompt, 8);
  EXPECT_TRUE(logits.ok()) << logits.status();
  return logits.ok() ? *logits : std::vector<float>();
}

class StoredModelTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ranges::replace(name, '/', '_');
    folder_ = testing::TempDir() + "/stored_model_" + name;
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::shared_ptr<BlobCache> OpenCache() {
    auto cache = BlobCache::Open({.folder = folder_ + "/cache", .min_free_bytes = 0, .now = [] {
                                    return absl::FromUnixSeconds(1);
                                  }});
    EXPECT_TRUE(cache.ok()) << cache.status();
    return *cache;
  }
  // As a worker does it: chunk by chunk, from another's store.
  static void Fetch(const BlobStore& from, BlobStore& to, std::span<const Blob* const> blobs) {
    std::vector<std::byte> buffer(kChunkBytes);
    for (const Blob* blob : to.Missing(blobs)) {
      const auto writer = to.cache()->Write(*blob);
      ASSERT_TRUE(writer.ok()) << writer.status();
      for (const uint64_t i : (*writer)->MissingChunks()) {
        const auto bytes = from.ReadChunk(blob->id, i, buffer);
        ASSERT_TRUE(bytes.ok()) << bytes.status();
        ASSERT_TRUE((*writer)->WriteChunk(i, std::span(buffer).first(*bytes)).ok());
      }
      ASSERT_TRUE((*writer)->Finish().ok());
    }
  }

  std::string folder_;
};

TEST_P(StoredModelTest, GivesTheFilesOwnLogits) {
  const auto file = OpenModelFile(kRoot + "/" + GetParam());
  ASSERT_TRUE(file.ok() && file->config.ok()) << file.status();
  const auto indexed = MakeManifest(*file, {.num_threads = 2});
  ASSERT_TRUE(indexed.ok()) << indexed.status();
  EXPECT_EQ(*ParseManifest(indexed->bytes), indexed->manifest);
  const auto files = std::make_shared<LocalFiles>();
  files->Add(*indexed);
  const BlobStore owner(nullptr, files);
  EXPECT_TRUE(owner.Missing(AllBlobs(indexed->manifest)).empty());

  BlobStore worker(OpenCache(), std::make_shared<LocalFiles>());
  const Manifest manifest = *ParseManifest(indexed->bytes);
  EXPECT_TRUE(absl::IsNotFound(StoredModel::Open(manifest, worker).status()));
  Fetch(owner, worker, StoredModel::CommonBlobs(manifest));
  const auto model = StoredModel::Open(manifest, worker);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->file().chat_template, file->chat_template);
  EXPECT_EQ((*model)->file().sampling_defaults.end_tokens, file->sampling_defaults.end_tokens);
  const auto vocabulary = ReadVocabulary((*model)->file()), expected = ReadVocabulary(*file);
  ASSERT_EQ(vocabulary.ok(), expected.ok()) << vocabulary.status();
  if (expected.ok()) {
    EXPECT_EQ(vocabulary->tokens.size(), expected->tokens.size());
    EXPECT_EQ(vocabulary->merges, expected->merges);
  }

  // A stage of the first half fetches no more than its part, and needs nothing else.
  const ModelConfig& config = (*model)->config();
  const auto half = (*model)->StageTensors({0, config.num_layers}, 32);
  ASSERT_TRUE(half.ok()) << half.status();
  EXPECT_TRUE(absl::IsNotFound((*model)->Weights(*half).status()));
  const auto needed = BlobsOf(manifest, *half);
  ASSERT_TRUE(needed.ok()) << needed.status();
  EXPECT_LT(needed->size(), AllBlobs(manifest).size() - manifest.documents.size());
  Fetch(owner, worker, *needed);
  kernels::ReferenceBackend backend;
  const auto half_weights = (*model)->Weights(*half);
  ASSERT_TRUE(half_weights.ok()) << half_weights.status();
  EXPECT_NE(LoadStage(config, **half_weights, backend, {0, config.num_layers}), nullptr);

  const auto all = (*model)->StageTensors(StageRange::Whole(config), 32);
  ASSERT_TRUE(all.ok()) << all.status();
  Fetch(owner, worker, *BlobsOf(manifest, *all));
  const auto weights = (*model)->Weights(*all);
  ASSERT_TRUE(weights.ok()) << weights.status();
  // Mapped blobs stay, whoever clears the cache.
  EXPECT_GT(worker.cache()->Clear()->pinned_blobs, 0u);
  EXPECT_EQ(LogitsOf(config, **weights), LogitsOf(*file->config, *file->weights));
  EXPECT_TRUE(absl::IsNotFound((*weights)->Get("no.such").status()));
  EXPECT_TRUE(absl::IsNotFound(BlobsOf(manifest, std::vector<std::string>{"no.such"}).status()));
}

INSTANTIATE_TEST_SUITE_P(Models, StoredModelTest,
                         ::testing::Values("deploy/demo/potluck-demo-1m-q8_0.gguf",
                                           "tests/golden/architectures/mixtral/hf",
                                           "tests/golden/architectures/qwen3moe/model.gguf",
                                           "tests/golden/architectures/phi3_longrope/model.gguf",
                                           "tests/golden/architectures/llama3/model.gguf"));

class ManifestCacheTest : public StoredModelTest {
 protected:
  void SetUp() override {
    StoredModelTest::SetUp();
    path_ = folder_ + "/model.gguf";
    fs::copy_file(kDemo, path_);
  }
  // The model's manifest, and whether its bytes were read for it.
  std::pair<IndexedManifest, bool> Get() {
    const auto file = OpenModelFile(path_);
    EXPECT_TRUE(file.ok()) << file.status();
    bool hashed = false;
    const auto indexed = cache_->Get(*file, {.on_progress = [&](double) { hashed = true; }});
    EXPECT_TRUE(indexed.ok()) << indexed.status();
    return {*indexed, hashed};
  }
  std::string Entry() {
    for (const auto& entry : fs::directory_iterator(folder_ + "/manifests")) return entry.path();
    return "";
  }

  std::string path_;
  std::unique_ptr<ManifestCache> cache_;
};

TEST_F(ManifestCacheTest, HashesAFileOnce) {
  cache_ = std::make_unique<ManifestCache>(folder_ + "/manifests");
  const auto [made, first] = Get();
  EXPECT_TRUE(first);
  const auto [kept, second] = Get();
  EXPECT_FALSE(second);
  EXPECT_EQ(kept.bytes, made.bytes);
  EXPECT_EQ(kept.address, made.address);
  EXPECT_EQ(kept.files, made.files);
  EXPECT_EQ(kept.places, made.places);
  ASSERT_EQ(cache_->All().size(), 1u);
  EXPECT_EQ(cache_->All()[0].address, made.address);
  // Every cut and a few flipped bits: made anew, never an error, never a wrong digest.
  const uint64_t size = fs::file_size(Entry());
  for (const uint64_t at : {uint64_t{0}, uint64_t{70}, size / 2, size - 3}) {
    {
      std::fstream entry(Entry(), std::ios::in | std::ios::out);
      entry.seekg(static_cast<std::streamoff>(at));
      const char flipped = static_cast<char>(entry.peek() ^ 1);
      entry.seekp(static_cast<std::streamoff>(at));
      entry.put(flipped);
    }
    EXPECT_TRUE(cache_->All().empty());
    EXPECT_TRUE(Get().second) << at;
    fs::resize_file(Entry(), at);
    EXPECT_EQ(Get().first.bytes, made.bytes);
  }
  // The same bytes at another time are looked at again.
  const timespec times[2] = {{0, UTIME_OMIT}, {5, 5}};
  ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  EXPECT_TRUE(cache_->All().empty());
  EXPECT_TRUE(Get().second);
  EXPECT_FALSE(Get().second);
}

TEST_F(ManifestCacheTest, ItsFilesServeOtherModels) {
  cache_ = std::make_unique<ManifestCache>(folder_ + "/manifests");
  const IndexedManifest here = Get().first;
  // A coordinator's file of another name: other manifest, same blobs.
  const auto theirs = MakeManifest(*OpenModelFile(kDemo), {});
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  EXPECT_NE(theirs->address, here.address);
  BlobStore store(OpenCache(), std::make_shared<LocalFiles>());
  for (const IndexedManifest& indexed : cache_->All()) store.files().Add(indexed);
  EXPECT_TRUE(store.Missing(AllBlobs(theirs->manifest)).empty());
  const auto model = StoredModel::Open(theirs->manifest, store);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE(store.cache()->List()->empty()) << "nothing was copied";
  // A changed file has nothing any more.
  std::ofstream(path_, std::ios::app) << "x";
  EXPECT_FALSE(store.Missing(AllBlobs(theirs->manifest)).empty());
  std::vector<std::byte> buffer(kChunkBytes);
  const Blob& blob = theirs->manifest.tensors[0].blobs[0];
  EXPECT_TRUE(absl::IsNotFound(store.ReadChunk(blob.id, 0, buffer).status()));
}

TEST_F(ManifestCacheTest, StopsWhenAsked) {
  const auto file = OpenModelFile(path_);
  const auto stopped = MakeManifest(*file, {.cancelled = [] { return true; }});
  EXPECT_TRUE(absl::IsCancelled(stopped.status())) << stopped.status();
  const auto changed = MakeManifest(*file, {.on_progress = [&](double) {
    const timespec times[2] = {{0, UTIME_OMIT}, {7, 7}};
    utimensat(AT_FDCWD, path_.c_str(), times, 0);
  }});
  EXPECT_TRUE(absl::IsAborted(changed.status())) << changed.status();
}

// A manifest whose documents say one thing and whose tensors another.
TEST_F(ManifestCacheTest, BelievesNoManifest) {
  const auto indexed = MakeManifest(*OpenModelFile(path_), {});
  ASSERT_TRUE(indexed.ok()) << indexed.status();
  BlobStore store(OpenCache(), std::make_shared<LocalFiles>());
  store.files().Add(*indexed);
  Manifest manifest = indexed->manifest;
  for (ManifestTensor& tensor : manifest.tensors) {
    if (tensor.shape.size() == 2) std::swap(tensor.shape[0], tensor.shape[1]);
  }
  const auto model = StoredModel::Open(manifest, store);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto names = (*model)->StageTensors(StageRange::Whole((*model)->config()), 32);
  ASSERT_TRUE(names.ok()) << names.status();
  const auto weights = (*model)->Weights(*names);
  ASSERT_TRUE(weights.ok()) << weights.status();
  kernels::ReferenceBackend backend;
  const auto stage =
      DecoderStage::Load((*model)->config(), **weights, backend,
                         {.range = StageRange::Whole((*model)->config()), .context_length = 32});
  EXPECT_TRUE(absl::IsInvalidArgument(stage.status())) << stage.status();
  // A tensor's bytes as the header.
  manifest.documents[0].blob = manifest.tensors[0].blobs[0];
  EXPECT_TRUE(absl::IsInvalidArgument(StoredModel::Open(manifest, store).status()));
}

}  // namespace
}  // namespace potluck::model
