// Stages whose weights came over the wire compute what one machine computes.
#include "worker/weights/weights_loader.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <optional>
#include <set>

#include "kernels/devices.h"
#include "model/generation/generator.h"
#include "model/generation/local_model.h"
#include "partition/stage_memory.h"
#include "tests/testing/fake_clock.h"
#include "tests/worker/weights/weights_world.h"

namespace potluck::worker {
namespace {

const std::string kDemo =
    std::string(POTLUCK_SOURCE_DIR) + "/deploy/demo/potluck-demo-1m-q8_0.gguf";
constexpr int64_t kContext = 64;
constexpr int kNewTokens = 20;

kernels::DeviceOptions OneThread(const std::string& device) {
  return {.device = device, .num_threads = 1, .target = ""};
}

class WeightsLoaderTest : public WeightsWorld {
 protected:
  void SetUp() override {
    WeightsWorld::SetUp();
    const auto file = model::OpenModelFile(kDemo);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto indexed = model::MakeManifest(*file, {});
    ASSERT_TRUE(indexed.ok()) << indexed.status();
    indexed_ = *indexed;
    cuts_ = 2 * file->config->num_layers;
    const auto files = std::make_shared<model::LocalFiles>();
    files->Add(indexed_);
    Serve(wire::kCoordinator, model::BlobStore(nullptr, files))
        .server->AddManifest(indexed_.address, indexed_.bytes);
  }
  void TearDown() override {
    runners_.clear();
    loadings_.clear();
    loaders_.clear();
    WeightsWorld::TearDown();
  }

  // `lent_bytes`: what its owner lends of its device; 0: no limit.
  WeightsLoader& AddWorker(const std::string& name,
                           std::shared_ptr<model::BlobCache> cache = nullptr,
                           int64_t lent_bytes = 0,
                           std::shared_ptr<model::LocalFiles> files = nullptr) {
    loaders_.erase(name);
    claims_[name] = std::make_unique<MemoryClaims>(lent_bytes);
    AddNode(name);
    if (cache == nullptr) cache = OpenCache(name);
    if (files == nullptr) files = std::make_shared<model::LocalFiles>();
    caches_[name] = cache;
    WeightsLoaderOptions options;
    options.coordinator = PeerOf(wire::kCoordinator);
    options.manifests_folder = absl::StrCat(folder_, "/manifests-", name);
    options.open_device = [this](const std::string& device) {
      ++num_opened_;
      return kernels::OpenDevice(OneThread(device));
    };
    options.fetch = fetch_options_;
    options.look_for = look_for_;
    options.claims = claims_[name].get();
    options.make_thread = [this] { return time_.MakeExecutor(); };
    auto& loader = loaders_[name];
    loader = std::make_unique<WeightsLoader>(
        std::move(options), model::BlobStore(cache, std::move(files)), Around(name));
    return *loader;
  }

  wire::Prepare Plan(int32_t stage, int32_t num_stages, int64_t first_cut, int64_t last_cut) const {
    wire::Prepare plan;
    plan.instance = 1;
    plan.stage = stage;
    plan.num_stages = num_stages;
    plan.device = "cpu";
    plan.manifest = indexed_.address.bytes;
    plan.range = {first_cut, last_cut};
    plan.context_length = kContext;
    plan.kv_capacity = 4 * kContext;
    plan.max_sequences = 4;
    plan.max_tokens = 32;
    plan.max_outputs = 4;
    return plan;
  }

  using Loaded = absl::StatusOr<std::unique_ptr<StageRunner>>;
  // Begins to load; the result is in `results_` when it is there.
  void Begin(const std::string& worker, const wire::Prepare& plan) {
    results_[worker].reset();
    progress_[worker].clear();
    loadings_[worker] = loaders_.at(worker)->Load(
        plan, [this, worker](double fraction) { progress_[worker].push_back(fraction); },
        [this, worker](Loaded loaded) { results_[worker].emplace(std::move(loaded)); });
  }
  Loaded Load(const std::string& worker, const wire::Prepare& plan) {
    Begin(worker, plan);
    time_.RunUntil([&] { return results_[worker].has_value(); }, absl::Hours(1));
    if (!results_[worker]) return absl::UnknownError("loading does not end");
    return *std::move(results_[worker]);
  }
  void AddStage(const std::string& worker, const wire::Prepare& plan) {
    Loaded loaded = Load(worker, plan);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    runners_.push_back(*std::move(loaded));
  }

  // Through all stages, one after another.
  absl::StatusOr<StageOutput> RunFrame(wire::StageFrame frame) {
    std::optional<absl::StatusOr<StageOutput>> output;
    for (const auto& runner : runners_) {
      output.reset();
      runner->Run(frame, {},
                  [&](absl::StatusOr<StageOutput> result) { output = std::move(result); });
      time_.RunUntil([&] { return output.has_value(); }, absl::Minutes(1));
      if (!output) return absl::UnknownError("the stage does not answer");
      if (!output->ok()) return output->status();
      frame.hidden = (*output)->hidden;
    }
    return *std::move(output);
  }

  static wire::SequenceStart Start(model::SequenceId sequence,
                                   const model::GenerationRequest& request) {
    wire::SequenceStart start;
    start.sequence = sequence;
    start.sampling = request.sampling;
    start.prompt_length = static_cast<int32_t>(request.prompt.size());
    start.top_logprobs = request.top_logprobs;
    return start;
  }
  static void AddToken(wire::StageFrame& frame, model::SequenceId sequence, model::TokenId id,
                       int32_t position, bool first, bool wanted, bool is_prompt) {
    frame.step.tokens.push_back(
        {.sequence = sequence,
         .id = id,
         .position = position,
         .parent =
             first ? model::kCommittedEnd : static_cast<int32_t>(frame.step.tokens.size()) - 1,
         .kind = is_prompt ? model::TokenKind::kPrompt : model::TokenKind::kGenerated,
         .wanted = wanted ? model::Wanted::kSample : model::Wanted::kNothing});
  }
  // All requests together: prompts in chunks of `chunk` tokens, then a token of each in every step.
  std::vector<std::vector<wire::TokenResult>> GenerateAll(
      const std::vector<model::GenerationRequest>& requests, size_t chunk) {
    std::vector<std::vector<wire::TokenResult>> answers(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto& prompt = requests[i].prompt;
      for (size_t done = 0; done < prompt.size(); done += chunk) {
        wire::StageFrame frame;
        if (done == 0) {
          frame.commands.push_back(wire::BeginCommand{.start = Start(i, requests[i])});
        }
        for (size_t j = done; j < std::min(done + chunk, prompt.size()); ++j) {
          AddToken(frame, i, prompt[j], static_cast<int32_t>(j), j == done, j + 1 == prompt.size(),
                   true);
        }
        Collect(frame, answers);
      }
    }
    for (int step = 1; step < kNewTokens; ++step) {
      wire::StageFrame frame;
      for (size_t i = 0; i < requests.size(); ++i) {
        if (answers[i].empty()) return answers;  // Collect has said why
        const wire::TokenResult& last = answers[i].back();
        AddToken(frame, i, last.id, last.position, true, true, false);
      }
      Collect(frame, answers);
    }
    return answers;
  }
  void Collect(const wire::StageFrame& frame,
               std::vector<std::vector<wire::TokenResult>>& answers) {
    const auto output = RunFrame(frame);
    ASSERT_TRUE(output.ok()) << output.status();
    for (const wire::TokenResult& token : output->tokens) answers[token.sequence].push_back(token);
  }

  model::IndexedManifest indexed_;
  int64_t cuts_ = 0;
  int num_opened_ = 0;
  FetchOptions fetch_options_;
  std::function<void(std::shared_ptr<const model::Manifest>)> look_for_;
  std::map<std::string, std::shared_ptr<model::BlobCache>> caches_;
  std::map<std::string, std::unique_ptr<MemoryClaims>> claims_;
  std::map<std::string, std::unique_ptr<WeightsLoader>> loaders_;
  std::map<std::string, std::unique_ptr<StageLoader::Loading>> loadings_;
  std::map<std::string, std::optional<Loaded>> results_;
  std::map<std::string, std::vector<double>> progress_;
  std::vector<std::unique_ptr<StageRunner>> runners_;
};

// What one machine says, with the log-probability of every token of the vocabulary at each place.
std::vector<model::Generation> OnOneMachine(const std::vector<model::GenerationRequest>& requests) {
  auto backend = kernels::OpenDevice(OneThread("cpu"));
  EXPECT_TRUE(backend.ok()) << backend.status();
  auto local = model::LocalModel::Load(kDemo, *std::move(backend), {.context_length = kContext});
  EXPECT_TRUE(local.ok()) << local.status();
  const FakeClock clock;
  model::Generator generator((*local)->stage(), (*local)->tokenizer(), clock);
  std::vector<model::Generation> generations;
  for (const model::GenerationRequest& request : requests) {
    auto generation = generator.Generate(request);
    EXPECT_TRUE(generation.ok()) << generation.status();
    generations.push_back(*std::move(generation));
  }
  return generations;
}

std::vector<model::GenerationRequest> Requests() {
  const auto file = model::OpenModelFile(kDemo);
  const auto text = model::TextCodec::Create(*file);
  std::vector<model::GenerationRequest> requests(2);
  requests[0].prompt = *text->EncodeText("At a pot-luck everybody brings");
  requests[0].sampling.temperature = 0;
  requests[1].prompt = *text->EncodeText("The soup is");
  requests[1].sampling.seed = 3;
  requests[1].sampling.repeat_penalty = 1.2F;
  requests[1].sampling.presence_penalty = 0.3F;
  for (auto& request : requests) {
    request.max_tokens = kNewTokens;
    // A stage goes on until it is told otherwise; so shall the generator.
    for (model::TokenId id = 0; id < file->config->vocab_size; ++id) {
      if (text->tokenizer().IsEndOfGeneration(id))
        request.sampling.logit_bias.emplace_back(id, -1000.0F);
    }
    request.top_logprobs = static_cast<int>(file->config->vocab_size);
  }
  return requests;
}

TEST_F(WeightsLoaderTest, TwoStagesSayWhatOneMachineSays) {
  const auto requests = Requests();
  const std::vector<model::Generation> expected = OnOneMachine(requests);
  for (const int64_t cut : std::set<int64_t>{1, 3, cuts_ / 2, cuts_ - 1}) {
    SCOPED_TRACE(cut);
    runners_.clear();
    const std::string a = absl::StrCat("a", cut), b = absl::StrCat("b", cut);
    AddWorker(a);
    AddWorker(b);
    AddStage(a, Plan(0, 2, 0, cut));
    AddStage(b, Plan(1, 2, cut, cuts_));
    ASSERT_EQ(runners_.size(), 2u);
    const auto answers = GenerateAll(requests, cut == 3 ? 4 : 32);
    for (size_t i = 0; i < requests.size(); ++i) {
      ASSERT_EQ(expected[i].ids.size(), static_cast<size_t>(kNewTokens));
      ASSERT_EQ(answers[i].size(), expected[i].ids.size());
      for (size_t j = 0; j < expected[i].ids.size(); ++j) {
        const wire::TokenResult& token = answers[i][j];
        ASSERT_EQ(token.id, expected[i].ids[j]) << i << " " << j;
        EXPECT_EQ(token.position, static_cast<int32_t>(requests[i].prompt.size() + j));
        ASSERT_EQ(token.logprobs.size(), static_cast<size_t>(requests[i].top_logprobs) + 1);
        for (size_t k = 0; k < token.logprobs.size(); ++k) {
          ASSERT_EQ(token.logprobs[k].id, expected[i].logprobs[j][k].id);
          ASSERT_EQ(token.logprobs[k].logprob, expected[i].logprobs[j][k].logprob);
        }
      }
    }
    // Each holds its part alone.
    EXPECT_LT(caches_[a]->List()->size(), model::AllBlobs(indexed_.manifest).size());
    EXPECT_EQ(progress_[a].empty(), false);
    EXPECT_TRUE(std::ranges::is_sorted(progress_[a]));
    EXPECT_LE(progress_[a].back(), 1.0);
  }
}

TEST_F(WeightsLoaderTest, FetchesNothingTwice) {
  AddWorker("w1");
  ASSERT_TRUE(Load("w1", Plan(0, 1, 0, cuts_)).ok());
  const int64_t sent = nodes_.at(wire::kCoordinator).server->sent_bytes();
  EXPECT_GT(sent, 0);
  // A new process of this machine, and nobody who could be asked.
  loadings_.clear();
  loaders_.clear();
  faults_.unreachable = wire::kCoordinator;
  nodes_.at("w1").transport->Vanish();
  AddWorker("w1");
  ASSERT_TRUE(Load("w1", Plan(0, 1, 0, cuts_)).ok());
  EXPECT_EQ(nodes_.at(wire::kCoordinator).server->sent_bytes(), sent);
}

// A document, a matrix, and one of the model's whole: each is fetched again, and nothing else.
TEST_F(WeightsLoaderTest, FetchesAgainWhatADiskHasForgotten) {
  AddWorker("w1");
  const auto& tensors = indexed_.manifest.tensors;
  const std::vector<model::Blob> damaged = {indexed_.manifest.documents.front().blob,
                                            tensors.front().blobs.front(),
                                            tensors.back().blobs.front()};
  uint64_t damaged_bytes = 0;
  for (const model::Blob& blob : damaged) damaged_bytes += blob.size_bytes;
  ASSERT_TRUE(Load("w1", Plan(0, 1, 0, cuts_)).ok());
  const int64_t sent = nodes_.at(wire::kCoordinator).server->sent_bytes();
  loadings_.clear();
  loaders_.clear();
  caches_.clear();
  for (const model::Blob& blob : damaged) {
    std::fstream file(absl::StrCat(folder_, "/w1/blobs/", blob.id.ToHex()),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(blob.size_bytes / 2));
    const auto byte = static_cast<char>(file.peek());
    file.seekp(static_cast<std::streamoff>(blob.size_bytes / 2));
    file.put(static_cast<char>(~byte));
    ASSERT_TRUE(file.flush());
  }
  nodes_.at("w1").transport->Vanish();
  AddWorker("w1");
  ASSERT_TRUE(Load("w1", Plan(0, 1, 0, cuts_)).ok());
  EXPECT_EQ(nodes_.at(wire::kCoordinator).server->sent_bytes() - sent,
            static_cast<int64_t>(damaged_bytes));
  for (const model::Blob& blob : damaged) EXPECT_TRUE(caches_["w1"]->Verify(blob).ok());
  ASSERT_FALSE(progress_["w1"].empty());
  EXPECT_LE(progress_["w1"].back(), 1);
}

TEST_F(WeightsLoaderTest, FetchesFromAWorkerToo) {
  AddWorker("w1");
  ASSERT_TRUE(Load("w1", Plan(0, 1, 0, cuts_)).ok());
  const int64_t sent = nodes_.at(wire::kCoordinator).server->sent_bytes();
  Serve("w1s", model::BlobStore(caches_["w1"], std::make_shared<model::LocalFiles>()));
  faults_.bytes_per_second = {{wire::kCoordinator, 2e5}};
  AddWorker("w2");
  wire::Prepare plan = Plan(0, 1, 0, cuts_);
  plan.sources = {PeerOf("w1s"), PeerOf("w2"), PeerOf("w1s"), PeerOf(wire::kCoordinator)};
  ASSERT_TRUE(Load("w2", plan).ok());
  EXPECT_GT(nodes_.at("w1s").server->sent_bytes(), sent / 2);
  EXPECT_LT(nodes_.at(wire::kCoordinator).server->sent_bytes(), sent + sent / 2);
}

// Whatever it is called there, and however little room the cache has.
TEST_F(WeightsLoaderTest, FetchesNothingThatLiesInALocalFile) {
  std::filesystem::create_directories(folder_);
  const std::string path = folder_ + "/other-name.gguf";
  std::filesystem::copy_file(kDemo, path);
  const auto file = model::OpenModelFile(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto indexed = model::MakeManifest(*file, {});
  ASSERT_TRUE(indexed.ok()) << indexed.status();
  EXPECT_NE(indexed->address, indexed_.address);
  const auto files = std::make_shared<model::LocalFiles>();
  files->Add(*indexed);
  AddWorker("w1", OpenCache("w1", 1), 0, files);
  AddStage("w1", Plan(0, 1, 0, cuts_));
  EXPECT_EQ(nodes_.at(wire::kCoordinator).server->sent_bytes(), 0);
  EXPECT_TRUE(caches_["w1"]->List()->empty());

  // A copy from before the file was there is not held on to.
  AddWorker("w2");
  ASSERT_TRUE(Load("w2", Plan(0, 1, 0, cuts_)).ok());
  const int64_t sent = nodes_.at(wire::kCoordinator).server->sent_bytes();
  const auto cache = caches_["w2"];
  loadings_.clear();
  AddWorker("w2", cache, 0, files);
  AddStage("w2", Plan(0, 1, 0, cuts_));
  EXPECT_EQ(nodes_.at(wire::kCoordinator).server->sent_bytes(), sent);
  EXPECT_EQ(cache->Clear()->kept_blobs, 0u);

  // Nobody knows what a changed file holds.
  std::filesystem::last_write_time(path,
                                   std::filesystem::last_write_time(path) - std::chrono::hours(1));
  AddWorker("w3", nullptr, 0, files);
  ASSERT_TRUE(Load("w3", Plan(0, 1, 0, cuts_)).ok());
  EXPECT_EQ(nodes_.at(wire::kCoordinator).server->sent_bytes(), 2 * sent);
}

TEST_F(WeightsLoaderTest, IsCancelledAtAnyTime) {
  faults_.bytes_per_second = {{wire::kCoordinator, 2e6}};
  for (int tasks = 1; tasks < 2000; tasks *= 2) {
    SCOPED_TRACE(tasks);
    const std::string name = absl::StrCat("w", tasks);
    AddWorker(name);
    Begin(name, Plan(0, 1, 0, cuts_));
    for (int i = 0; i < tasks && time_.RunNext(); ++i) {
    }
    const bool ended = results_[name].has_value();
    loadings_.erase(name);
    time_.RunFor(absl::Minutes(5));
    EXPECT_EQ(results_[name].has_value(), ended);
    EXPECT_EQ(network_.num_open_links(), 0);
    // Nothing is held: all may go.
    results_[name].reset();
    time_.RunFor(absl::Seconds(1));
    const auto cleared = caches_[name]->Clear();
    ASSERT_TRUE(cleared.ok()) << cleared.status();
    EXPECT_EQ(cleared->kept_blobs, 0u);
  }
}

TEST_F(WeightsLoaderTest, LeavesToLocalFilesWhatIsFoundThereMeanwhile) {
  const auto files = std::make_shared<model::LocalFiles>();
  int64_t sent = 0;
  look_for_ = [&](const auto& manifest) {
    EXPECT_EQ(*manifest, indexed_.manifest);
    sent = nodes_.at(wire::kCoordinator).server->sent_bytes();
    if (sent > 0) files->Add(indexed_);  // not for what every stage needs
  };
  AddWorker("w1", nullptr, 0, files);
  AddStage("w1", Plan(0, 1, 0, cuts_));
  EXPECT_GT(sent, 0);
  EXPECT_EQ(nodes_.at(wire::kCoordinator).server->sent_bytes(), sent);
}

// A hundredth of a large model over a slow link takes long; who waits sees that it goes on.
TEST_F(WeightsLoaderTest, TellsOfSmallProgressToo) {
  fetch_options_.stall_time = absl::Hours(24);
  faults_.bytes_per_second = {{wire::kCoordinator, 20}};
  AddWorker("w1");
  Begin("w1", Plan(0, 1, 0, cuts_));
  EXPECT_TRUE(time_.RunUntil([&] { return results_["w1"].has_value(); }, absl::Hours(100)));
  const std::vector<double>& told = progress_["w1"];
  EXPECT_TRUE(std::ranges::is_sorted(told, std::less_equal())) << "each time it has grown";
  EXPECT_NE(std::ranges::adjacent_find(told, [](double a, double b) { return b - a < 0.005; }),
            told.end());
}

TEST_F(WeightsLoaderTest, SaysWhatDoesNotFit) {
  AddWorker("w1");
  wire::Prepare plan = Plan(0, 1, 0, cuts_);
  plan.kv_capacity = int64_t{1} << 31;
  absl::Status status = Load("w1", plan).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_NE(status.message().find("MiB"), absl::string_view::npos) << status;
  // Nothing is fetched in vain.
  AddWorker("tiny", OpenCache("tiny", 1 << 19));
  const int64_t sent = nodes_.at(wire::kCoordinator).server->sent_bytes();
  status = Load("tiny", Plan(0, 1, 0, cuts_)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_NE(status.message().find("MiB"), absl::string_view::npos) << status;
  EXPECT_LT(nodes_.at(wire::kCoordinator).server->sent_bytes() - sent, 1 << 19);
}

// What a stage will take is known before it is fetched, and is what the decoder says itself.
TEST_F(WeightsLoaderTest, TakesNoMoreThanItsOwnerLends) {
  const auto file = model::OpenModelFile(kDemo);
  ASSERT_TRUE(file.ok()) << file.status();
  wire::Prepare plan = Plan(0, 2, 0, cuts_ / 2);
  model::StageOptions options;
  options.range = plan.range;
  options.context_length = plan.context_length;
  options.kv = {.dtype = plan.kv_dtype,
                .capacity = plan.kv_capacity,
                .max_sequences = plan.max_sequences,
                .spare_blocks = partition::kSpareKvBlocks};
  options.max_tokens = plan.max_tokens;
  options.max_outputs = plan.max_outputs;
  const auto memory = model::DecoderStage::MemoryFor(*file->config, *file->weights, options);
  ASSERT_TRUE(memory.ok()) << memory.status();

  AddWorker("w1", nullptr, memory->total());
  AddStage("w1", plan);
  ASSERT_EQ(runners_.size(), 1u);
  EXPECT_EQ(claims_["w1"]->HeldBytes("cpu"), memory->total());
  // Another model's layers would be too much; this one's may be replaced.
  plan.instance = 2;
  EXPECT_TRUE(absl::IsResourceExhausted(Load("w1", plan).status()));
  plan.instance = 1;
  AddStage("w1", plan);
  EXPECT_EQ(claims_["w1"]->HeldBytes("cpu"), 2 * memory->total());
  // What is given up counts until the device has it back; a load that needs it waits for that.
  runners_.clear();
  EXPECT_EQ(claims_["w1"]->HeldBytes("cpu"), 2 * memory->total());
  plan.instance = 2;
  AddStage("w1", plan);
  EXPECT_EQ(claims_["w1"]->HeldBytes("cpu"), memory->total());
  runners_.clear();
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(claims_["w1"]->HeldBytes("cpu"), 0);
  plan.instance = 1;

  const int64_t sent = nodes_.at(wire::kCoordinator).server->sent_bytes();
  AddWorker("w2", nullptr, memory->total() - 1);
  const absl::Status status = Load("w2", plan).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_NE(status.message().find("--memory"), absl::string_view::npos) << status;
  EXPECT_EQ(claims_["w2"]->HeldBytes("cpu"), 0);
  // Rows that are kept for replays count as well.
  wire::Prepare keeping = plan;
  keeping.replay_bytes = 1;
  AddWorker("w3", nullptr, memory->total());
  EXPECT_TRUE(absl::IsResourceExhausted(Load("w3", keeping).status()));
  const int64_t in_vain = nodes_.at(wire::kCoordinator).server->sent_bytes() - sent;
  EXPECT_LT(in_vain, 2 * memory->weight_bytes);
}

TEST_F(WeightsLoaderTest, SaysWhatIsWrong) {
  AddWorker("w1");
  wire::Prepare plan = Plan(0, 1, 0, cuts_);
  plan.manifest[0] ^= 1;
  absl::Status status = Load("w1", plan).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(status.message().find("manifest"), absl::string_view::npos) << status;
  status = Load("w1", Plan(0, 1, 2, cuts_ + 2)).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  plan = Plan(0, 1, 0, cuts_);
  plan.device = "abacus";
  status = Load("w1", plan).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("abacus"), absl::string_view::npos) << status;
}

TEST_F(WeightsLoaderTest, KeepsCopiesWhileNothingIsLoaded) {
  AddWorker("w1");
  faults_.bytes_per_second = {{wire::kCoordinator, 2e6}};
  std::vector<absl::Status> ended;
  wire::KeepCopy copy;
  copy.manifest = indexed_.address.bytes;
  copy.range = {cuts_ / 2, cuts_};
  const auto keep = [&] {
    loaders_.at("w1")->KeepCopy(copy, [&](absl::Status status) { ended.push_back(status); });
  };
  keep();
  keep();  // asked once more meanwhile: one copy, one answer
  time_.RunFor(absl::Milliseconds(20));
  Begin("w1", Plan(0, 2, 0, cuts_ / 2));
  EXPECT_TRUE(time_.RunUntil([&] { return results_["w1"].has_value(); }, absl::Minutes(10)));
  EXPECT_TRUE(results_["w1"]->ok()) << results_["w1"]->status();
  EXPECT_TRUE(ended.empty()) << "the stage that is waited for comes first";
  EXPECT_TRUE(time_.RunUntil([&] { return !ended.empty(); }, absl::Minutes(10)));
  EXPECT_TRUE(ended[0].ok()) << ended[0];
  // The standby loads from its disk.
  const int64_t sent = nodes_.at(wire::kCoordinator).server->sent_bytes();
  ASSERT_TRUE(Load("w1", Plan(1, 2, cuts_ / 2, cuts_)).ok());
  EXPECT_EQ(nodes_.at(wire::kCoordinator).server->sent_bytes(), sent);
  // Again, and what cannot be had.
  keep();
  copy.manifest[3] ^= 1;
  keep();
  time_.RunFor(absl::Minutes(1));
  ASSERT_EQ(ended.size(), 3u);
  EXPECT_TRUE(ended[1].ok()) << ended[1];
  EXPECT_FALSE(ended[2].ok());
}

// The copy's worker takes its layers over before it has them all.
TEST_F(WeightsLoaderTest, ALoadGoesOnWhereACopyWas) {
  AddWorker("w1");
  faults_.bytes_per_second = {{wire::kCoordinator, 2e5}};
  wire::KeepCopy copy;
  copy.manifest = indexed_.address.bytes;
  copy.range = {0, cuts_};
  std::vector<absl::Status> ended;
  loaders_.at("w1")->KeepCopy(copy, [&](absl::Status status) { ended.push_back(status); });
  int64_t all = 0, largest = 0;
  for (const model::Blob* blob : model::AllBlobs(indexed_.manifest)) {
    all += static_cast<int64_t>(blob->size_bytes);
    largest = std::max(largest, static_cast<int64_t>(blob->size_bytes));
  }
  const wire::WeightsServer& server = *nodes_.at(wire::kCoordinator).server;
  ASSERT_TRUE(time_.RunUntil([&] { return server.sent_bytes() > all / 2; }, absl::Minutes(1)));
  Begin("w1", Plan(0, 1, 0, cuts_));
  EXPECT_TRUE(time_.RunUntil([&] { return results_["w1"].has_value(); }, absl::Seconds(15)));
  ASSERT_TRUE(results_["w1"].has_value());
  EXPECT_TRUE(results_["w1"]->ok()) << results_["w1"]->status();
  EXPECT_LE(server.sent_bytes(), all + largest) << "but for the chunk that was under way";
  EXPECT_TRUE(time_.RunUntil([&] { return !ended.empty(); }, absl::Minutes(1)));
  EXPECT_TRUE(ended[0].ok()) << ended[0];
}

}  // namespace
}  // namespace potluck::worker
