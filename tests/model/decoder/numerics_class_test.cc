// Numerics class cpu-1: the logits of a token are the same bits however its prompt was cut into
// steps, whatever else was in them, however many threads and stages there were, on every
// instruction set, with drafts, forks, trims and reused prefixes. The truth is always the reference
// backend's, which is given the whole text in one step and nothing else.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/reference/reference_backend.h"
#include "model/model_file.h"
#include "tests/model/decoder/staged_model.h"
#include "tests/testing/cpu_targets.h"

namespace potluck::model {
namespace {

using kernels::DType;
using kernels::Precision;

const std::string kGolden = POTLUCK_SOURCE_DIR "/tests/golden/";

// A model, how it is run, and a text for it with the bits that its logits must have.
class Case {
 public:
  Case(std::string name, const std::string& path, int64_t length, DType kv_dtype,
       Precision precision, int64_t window = 0)
      : name_(std::move(name)), length_(length) {
    options_.kv_dtype = kv_dtype;
    options_.precision = precision;
    auto file = OpenModelFile(path);
    if (!file.ok() || !file->config.ok()) {
      ADD_FAILURE() << path << ": " << (file.ok() ? file->config.status() : file.status());
      return;
    }
    source_ = file->weights;
    config_ = *file->config;
    if (window > 0) {  // a window where the file has none
      config_.window = window;
      for (LayerConfig& layer : config_.layers) layer.attention = AttentionKind::kWindow;
    }
  }

  const std::string& name() const { return name_; }
  const ModelConfig& config() const { return config_; }
  const WeightSource& source() const { return *source_; }
  const StagedOptions& options() const { return options_; }

  std::unique_ptr<StagedModel> Load(kernels::Backend& backend,
                                    std::vector<int64_t> inner_cuts = {}) const {
    StagedOptions options = options_;
    options.inner_cuts = std::move(inner_cuts);
    auto model = StagedModel::Load(config_, *source_, backend, options);
    if (model.ok()) return *std::move(model);
    ADD_FAILURE() << model.status();
    return nullptr;
  }

  // Some text; `number` tells texts apart.
  std::vector<TokenId> Text(uint32_t number) const {
    std::mt19937 random(kernels::TestSeed() + 1000 * number);
    std::vector<TokenId> ids(length_ - 3 * number);
    for (TokenId& id : ids) id = static_cast<TokenId>(random() % config_.vocab_size);
    return ids;
  }

  // The logits of all of a text's tokens.
  const std::vector<float>& Truth(const std::vector<TokenId>& ids) {
    auto [found, is_new] = truths_.try_emplace(ids);
    if (is_new) found->second = RunReference(kAlone, ids);
    return found->second;
  }

  // The logits of the tokens of `path` after the first `length` of a text.
  std::vector<float> TruthOfPath(const std::vector<TokenId>& text, int64_t length,
                                 const std::vector<TokenId>& path) {
    const std::vector<TokenId> before(text.begin(), text.begin() + length);
    if (before != before_path_) {
      if (!before_path_.empty()) {
        EXPECT_TRUE(reference_model_->Apply(FreeCommand{kBefore}).ok());
      }
      RunReference(kBefore, before);
      before_path_ = before;
    }
    EXPECT_TRUE(
        reference_model_->Apply(ForkCommand{kBefore, kAlone, static_cast<int32_t>(length)}).ok());
    return RunReference(kAlone, path);
  }

 private:
  static constexpr SequenceId kAlone = 1, kBefore = 2;

  // Appends to a sequence, or begins it; the one that is used again for each text is then freed.
  std::vector<float> RunReference(SequenceId sequence, const std::vector<TokenId>& ids) {
    if (reference_model_ == nullptr) reference_model_ = Load(reference_);
    if (!reference_model_->Length(sequence).ok()) {
      EXPECT_TRUE(reference_model_->Begin(sequence).ok());
    }
    const RunOfTokens whole{sequence, ids};
    auto logits = reference_model_->RunTogether({&whole, 1});
    EXPECT_TRUE(logits.ok()) << logits.status();
    if (sequence == kAlone) {
      EXPECT_TRUE(reference_model_->Apply(FreeCommand{sequence}).ok());
    }
    return logits.ok() ? *std::move(logits) : std::vector<float>();
  }

  std::string name_;
  int64_t length_;
  StagedOptions options_;
  ModelConfig config_;
  std::shared_ptr<const WeightSource> source_;
  kernels::ReferenceBackend reference_;
  std::unique_ptr<StagedModel> reference_model_;
  std::map<std::vector<TokenId>, std::vector<float>> truths_;
  std::vector<TokenId> before_path_;  // what the reference's sequence kBefore holds
};

using Cases = std::vector<std::unique_ptr<Case>>;

const char* NameOf(Precision precision) { return precision == Precision::kInt8 ? "int8" : "float"; }

Cases MakeCases() {
  Cases cases;
  const auto add = [&](const std::string& name, const std::string& path, int64_t length,
                       std::vector<DType> kv_dtypes, std::vector<Precision> precisions,
                       int64_t window = 0) {
    for (const DType kv : kv_dtypes) {
      for (const Precision precision : precisions) {
        cases.push_back(std::make_unique<Case>(
            name + " kv " + std::string(kernels::Traits(kv).name) + " " + NameOf(precision), path,
            length, kv, precision, window));
      }
    }
  };
  const std::string architectures = kGolden + "architectures/", types = kGolden + "tensor_types/";
  const std::vector<DType> floats = {DType::kF16, DType::kF32};
  const std::vector<DType> all = {DType::kF16, DType::kF32, DType::kQ8_0};
  const std::vector<Precision> both = {Precision::kInt8, Precision::kFloat};
  // Weights here are floats: their products do not look at the precision. Texts of 290 tokens cross
  // a span of attention.
  add("long gemma2", architectures + "gemma2/model.gguf", 290, {DType::kF16}, {Precision::kInt8});
  for (const char* name : {"gemma2", "gemma3", "qwen3moe", "chatglm"}) {
    add(name, architectures + name + "/model.gguf", 70, floats, {Precision::kInt8});
  }
  add("mistral with its window", architectures + "mistral/hf", 70, floats, {Precision::kInt8});
  add("long q4_k", types + "q4_k.gguf", 290, {DType::kF16}, {Precision::kInt8});
  add("q4_k", types + "q4_k.gguf", 70, all, both);
  add("q4_k with a window", types + "q4_k.gguf", 120, {DType::kQ8_0}, {Precision::kInt8}, 40);
  for (const char* type : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q5_k", "q6_k",
                           "iq4_nl", "iq4_xs", "mxfp4"}) {
    add(type, types + type + ".gguf", 40, {DType::kF16}, {Precision::kInt8});
  }
  const std::string demo = POTLUCK_SOURCE_DIR "/deploy/demo/potluck-demo-1m-q8_0.gguf";
  if (std::filesystem::exists(demo)) add("demo", demo, 40, {DType::kF16}, {Precision::kInt8});
  const std::string stories =
      POTLUCK_SOURCE_DIR "/../shared/data/models/stories260k/stories260k-f32.gguf";
  if (std::filesystem::exists(stories)) {
    add("stories260k", stories, 70, {DType::kF16}, {Precision::kInt8});
  } else {
    std::cout << "stories260k is not here: left out\n";
  }
  return cases;
}

const Cases& AllCases() {
  static const auto* cases = new Cases(MakeCases());
  return *cases;
}

// Rows [0, count) of `got` against rows [first, first + count) of `want`, bit for bit.
::testing::AssertionResult SameRows(const absl::StatusOr<std::vector<float>>& got, int64_t got_row,
                                    const std::vector<float>& want, int64_t first, int64_t count,
                                    int64_t vocab_size) {
  if (!got.ok()) return ::testing::AssertionFailure() << got.status();
  for (int64_t row = 0; row < count; ++row) {
    const size_t from = (got_row + row) * vocab_size, to = (first + row) * vocab_size;
    if (from + vocab_size > got->size() || to + vocab_size > want.size()) {
      return ::testing::AssertionFailure() << "row " << row << " is not there";
    }
    if (std::memcmp(&(*got)[from], &want[to], vocab_size * sizeof(float)) != 0) {
      return ::testing::AssertionFailure()
             << "the logits of position " << first + row << " differ: the first is "
             << testing::PrintToString((*got)[from]) << " instead of "
             << testing::PrintToString(want[to]);
    }
  }
  return ::testing::AssertionSuccess();
}

// Runs ids [from, to) of a text in chunks of the given sizes, again and again, and compares.
void RunChunks(Case& test, StagedModel& model, SequenceId sequence,
               const std::vector<TokenId>& text, int64_t from, int64_t to,
               std::vector<int64_t> chunks) {
  const std::vector<float>& truth = test.Truth(text);
  size_t turn = 0;
  while (from < to) {
    const int64_t now = std::min(chunks[turn++ % chunks.size()], to - from);
    const RunOfTokens run{sequence, std::span(text).subspan(from, now)};
    ASSERT_TRUE(SameRows(model.RunTogether({&run, 1}), 0, truth, from, now, model.vocab_size()))
        << "chunk of " << now << " tokens from " << from;
    from += now;
  }
}

// (a) and (c)
void InOddChunks(Case& test, kernels::Backend& backend, std::vector<int64_t> chunks) {
  const auto model = test.Load(backend);
  ASSERT_NE(model, nullptr);
  const std::vector<TokenId> text = test.Text(0);
  ASSERT_TRUE(model->Begin(1).ok());
  RunChunks(test, *model, 1, text, 0, static_cast<int64_t>(text.size()), std::move(chunks));
}

// (b) Three texts, each at a pace of its own, in steps that hold some of each.
void InRaggedBatches(Case& test, kernels::Backend& backend) {
  const auto model = test.Load(backend);
  ASSERT_NE(model, nullptr);
  std::mt19937 random(kernels::TestSeed());
  std::vector<TokenId> texts[3];
  size_t done[3] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    texts[i] = test.Text(i);
    ASSERT_TRUE(model->Begin(10 + i).ok());
  }
  while (done[0] < texts[0].size() || done[1] < texts[1].size() || done[2] < texts[2].size()) {
    std::vector<RunOfTokens> runs;
    for (int i = 0; i < 3; ++i) {
      const size_t now = std::min<size_t>(random() % 3 == 0 ? random() % 60 : random() % 3,
                                          texts[i].size() - done[i]);
      if (now > 0) runs.push_back({10 + i, std::span(texts[i]).subspan(done[i], now)});
    }
    std::ranges::shuffle(runs, random);
    const auto logits = model->RunTogether(runs);
    int64_t row = 0;
    for (const RunOfTokens& run : runs) {
      const auto i = run.sequence - 10;
      const auto count = static_cast<int64_t>(run.ids.size());
      ASSERT_TRUE(SameRows(logits, row, test.Truth(texts[i]), static_cast<int64_t>(done[i]), count,
                           model->vocab_size()))
          << "text " << i;
      row += count;
      done[i] += run.ids.size();
    }
  }
}

struct TreeNode {
  int32_t parent;  // -1: the committed end
  TokenId id;
};

std::vector<TokenId> PathTo(const std::vector<TreeNode>& tree, int32_t node) {
  std::vector<TokenId> path;
  for (; node >= 0; node = tree[node].parent) path.insert(path.begin(), tree[node].id);
  return path;
}

// (e) A tree of drafts beside another sequence's tokens; then one path of it is accepted, and the
// text goes on from there.
void WithDraftTrees(Case& test, kernels::Backend& backend, const std::vector<int32_t>& accepted) {
  const auto model = test.Load(backend);
  ASSERT_NE(model, nullptr);
  const std::vector<TokenId> text = test.Text(0), other = test.Text(1);
  // Drafts on both sides of the end of a block, and, where the text is long, of a span.
  const auto committed = static_cast<int64_t>(text.size()) > 270 ? 253 : 29;
  const TokenId a = text[committed], b = (a + 1) % test.config().vocab_size;
  const std::vector<TreeNode> tree = {{-1, a},
                                      {-1, b},
                                      {1, text[3]},
                                      {0, text[committed + 1]},
                                      {0, b},
                                      {2, text[4]},
                                      {3, text[committed + 2]},
                                      {5, text[5]},
                                      {2, text[6]}};
  ASSERT_TRUE(model->Begin(1).ok());
  ASSERT_TRUE(model->Begin(2).ok());
  RunChunks(test, *model, 1, text, 0, committed - 1, {64});
  Step step;
  step.tokens.push_back({.sequence = 2, .id = other[0]});
  step.tokens.push_back({.sequence = 1,
                         .id = text[committed - 1],
                         .position = static_cast<int32_t>(committed - 1),
                         .kind = TokenKind::kGenerated});
  for (const TreeNode& node : tree) {
    const int32_t parent = node.parent + 2;
    step.tokens.push_back({.sequence = 1,
                           .id = node.id,
                           .position = step.tokens[parent].position + 1,
                           .parent = parent,
                           .kind = TokenKind::kDraft});
  }
  const auto logits = model->RunStep(step);
  ASSERT_TRUE(SameRows(logits, 1, test.Truth(text), committed - 1, 1, model->vocab_size()));
  for (int32_t node = 0; node < static_cast<int32_t>(tree.size()); ++node) {
    const std::vector<TokenId> path = PathTo(tree, node);
    ASSERT_TRUE(SameRows(logits, node + 2, test.TruthOfPath(text, committed, path),
                         static_cast<int64_t>(path.size()) - 1, 1, model->vocab_size()))
        << "node " << node;
  }
  ASSERT_TRUE(model->Apply(AcceptCommand{1, accepted}).ok());
  std::vector<TokenId> path = PathTo(tree, accepted.empty() ? -1 : accepted.back());
  const size_t done = path.size();
  path.insert(path.end(), other.begin(), other.begin() + 6);
  const std::vector<float> truth = test.TruthOfPath(text, committed, path);
  for (size_t i = done; i < path.size(); ++i) {
    const RunOfTokens run{1, std::span(path).subspan(i, 1), TokenKind::kGenerated};
    ASSERT_TRUE(SameRows(model->RunTogether({&run, 1}), 0, truth, static_cast<int64_t>(i), 1,
                         model->vocab_size()))
        << "after the accepted path";
  }
}

// (f)
void AfterForksTrimsAndReuse(Case& test, kernels::Backend& backend) {
  const auto model = test.Load(backend);
  ASSERT_NE(model, nullptr);
  const std::vector<TokenId> text = test.Text(0);
  const auto length = static_cast<int64_t>(text.size());
  const int64_t middle = length - 17;
  ASSERT_TRUE(model->Begin(1).ok());
  RunChunks(test, *model, 1, text, 0, middle, {50});
  // A fork goes another way while the first goes on, in the same steps.
  ASSERT_TRUE(model->Apply(ForkCommand{1, 2, static_cast<int32_t>(middle)}).ok());
  std::vector<TokenId> other(text.begin(), text.begin() + middle);
  for (int64_t i = middle; i < length; ++i)
    other.push_back((text[i] + 1) % static_cast<TokenId>(model->vocab_size()));
  for (int64_t i = middle; i < length; ++i) {
    const RunOfTokens runs[] = {{2, std::span(other).subspan(i, 1), TokenKind::kGenerated},
                                {1, std::span(text).subspan(i, 1), TokenKind::kGenerated}};
    const auto logits = model->RunTogether(runs);
    ASSERT_TRUE(SameRows(logits, 0, test.Truth(other), i, 1, model->vocab_size()));
    ASSERT_TRUE(SameRows(logits, 1, test.Truth(text), i, 1, model->vocab_size()));
  }
  // Trimmed by less than a window has moved, and computed again, the other way this time.
  ASSERT_TRUE(model->Apply(TrimCommand{1, static_cast<int32_t>(length - 2)}).ok());
  RunChunks(test, *model, 1, text, length - 2, length, {1});
  ASSERT_TRUE(model->Apply(FreeCommand{1}).ok());
  ASSERT_TRUE(model->Apply(FreeCommand{2}).ok());
  // A prefix of a freed sequence.
  const auto known = model->Begin(3, text);
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_EQ(*known, (length - 1) / 32 * 32);
  RunChunks(test, *model, 3, text, *known, length, {5, 1});
  EXPECT_EQ(model->Apply(FreeCommand{3}), absl::OkStatus());
  EXPECT_EQ(model->stage(0).kv().num_used_blocks(), 0);
}

// (g)
void CutAnywhere(Case& test, kernels::Backend& backend) {
  const int64_t cuts = 2 * test.config().num_layers;
  std::vector<std::vector<int64_t>> ways;
  for (int64_t cut = 1; cut < cuts; ++cut) ways.push_back({cut});
  ways.push_back({});  // everywhere
  for (int64_t cut = 1; cut < cuts; ++cut) ways.back().push_back(cut);
  for (const std::vector<int64_t>& way : ways) {
    SCOPED_TRACE(testing::Message() << "cut at " << testing::PrintToString(way));
    const auto model = test.Load(backend, way);
    ASSERT_NE(model, nullptr);
    ASSERT_TRUE(model->Begin(1).ok());
    RunChunks(test, *model, 1, test.Text(0), 0, 39, {17, 5, 1});
  }
}

class NumericsClassTest : public kernels::CpuTargetTest {
 protected:
  template <typename Scenario>
  void ForAllCases(int num_threads, const Scenario& scenario) {
    const auto backend = MakeBackend(num_threads);
    ASSERT_NE(backend, nullptr);
    for (const auto& test : AllCases()) {
      SCOPED_TRACE(test->name());
      scenario(*test, *backend);
      if (HasFatalFailure()) return;
    }
  }
};

TEST_P(NumericsClassTest, OneChunk) {
  ForAllCases(1, [](Case& test, kernels::Backend& backend) { InOddChunks(test, backend, {320}); });
}

TEST_P(NumericsClassTest, OddChunks) {
  ForAllCases(1, [](Case& test, kernels::Backend& backend) {
    InOddChunks(test, backend, {7, 1, 33, 2});
  });
}

// A few cases: threads beyond the cores of a small machine wait for one another.
TEST_P(NumericsClassTest, AnyNumberOfThreads) {
  for (int num_threads = 2; num_threads <= 4; ++num_threads) {
    SCOPED_TRACE(testing::Message() << num_threads << " threads");
    const auto backend = MakeBackend(num_threads);
    ASSERT_NE(backend, nullptr);
    for (const auto& test : AllCases()) {
      if (!test->name().starts_with("long") && !test->name().starts_with("qwen3moe")) continue;
      SCOPED_TRACE(test->name());
      InOddChunks(*test, *backend, {255, 2, 33});
    }
  }
}

TEST_P(NumericsClassTest, AmongOtherSequences) { ForAllCases(1, InRaggedBatches); }

TEST_P(NumericsClassTest, DraftTrees) {
  for (const std::vector<int32_t>& accepted : {std::vector<int32_t>{}, {0, 3, 6}, {1, 2, 5, 7}}) {
    SCOPED_TRACE(testing::Message() << "accepted " << testing::PrintToString(accepted));
    ForAllCases(
        1, [&](Case& test, kernels::Backend& backend) { WithDraftTrees(test, backend, accepted); });
  }
}

TEST_P(NumericsClassTest, ForksTrimsAndReusedPrefixes) { ForAllCases(1, AfterForksTrimsAndReuse); }

TEST_P(NumericsClassTest, CutIntoStages) { ForAllCases(1, CutAnywhere); }

POTLUCK_INSTANTIATE_CPU_TARGETS(NumericsClassTest);

// The reference alone: what differs there is no kernel's fault.
TEST(ReferenceNumericsTest, IsOneClassWithItself) {
  kernels::ReferenceBackend backend;
  for (const auto& test : AllCases()) {
    // The targets run all of them; slow here, and no different.
    if (!test->name().starts_with("gemma2") && !test->name().starts_with("qwen3moe") &&
        !test->name().starts_with("q4_k with")) {
      continue;
    }
    SCOPED_TRACE(test->name());
    InOddChunks(*test, backend, {7, 1, 100});
    InRaggedBatches(*test, backend);
    WithDraftTrees(*test, backend, {1, 2, 5, 7});
    AfterForksTrimsAndReuse(*test, backend);
    CutAnywhere(*test, backend);
    if (HasFatalFailure()) return;
  }
}

// One changed bit of one weight.
class ChangedWeights final : public WeightSource {
 public:
  ChangedWeights(const WeightSource& source, std::string_view name, size_t byte)
      : source_(source), changed_(*source.Find(name)) {
    bytes_.assign(changed_.bytes.begin(), changed_.bytes.end());
    bytes_[byte] ^= std::byte{0x10};
    changed_.bytes = bytes_;
    changed_.file = nullptr;
  }
  const WeightTensor* Find(std::string_view name) const override {
    return name == changed_.name ? &changed_ : source_.Find(name);
  }
  std::span<const WeightTensor> tensors() const override { return source_.tensors(); }

 private:
  const WeightSource& source_;
  WeightTensor changed_;
  std::vector<std::byte> bytes_;
};

TEST(NumericsControlTest, AChangedBitOfAWeightOrTwoSwappedTokensAreSeen) {
  Case test("q4_k", kGolden + "tensor_types/q4_k.gguf", 40, DType::kF16, Precision::kInt8);
  const std::vector<TokenId> text = test.Text(0);
  const std::vector<float>& truth = test.Truth(text);
  const auto last = static_cast<int64_t>(text.size()) - 1;
  kernels::ReferenceBackend backend;
  const auto last_row_is_same = [&](const WeightSource& source, std::vector<TokenId> ids) {
    const auto model = StagedModel::Load(test.config(), source, backend, test.options());
    EXPECT_TRUE(model.ok()) << model.status();
    EXPECT_TRUE((*model)->Begin(1).ok());
    const RunOfTokens run{1, ids};
    const auto logits = (*model)->RunTogether({&run, 1});
    return SameRows(logits, last, truth, last, 1, (*model)->vocab_size());
  };
  EXPECT_TRUE(last_row_is_same(test.source(), text));
  const ChangedWeights changed(test.source(), "blk.0.attn_k.weight", 144 + 100);  // a code
  EXPECT_FALSE(last_row_is_same(changed, text));
  std::vector<TokenId> swapped = text;
  swapped[7] = text[8] == text[7] ? text[7] + 1 : text[8];
  swapped[8] = text[7];
  EXPECT_FALSE(last_row_is_same(test.source(), swapped));
}

}  // namespace
}  // namespace potluck::model
