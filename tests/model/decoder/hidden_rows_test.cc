// Rows after the last norm: what the head makes of them are the logits that golden_test.cc holds to
// other people's, and their bits do not depend on what else the step computes.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "kernels/devices.h"
#include "model/decoder/decoder_stage.h"
#include "model/graph/tensor_floats.h"
#include "model/model_file.h"

namespace potluck::model {
namespace {

constexpr TokenId kIds[] = {1, 17, 33, 5, 20, 20, 2, 11};
constexpr int32_t kNumIds = 8;

class HiddenRowsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = OpenModelFile(std::string(POTLUCK_SOURCE_DIR) +
                              "/tests/golden/architectures/llama/model.gguf");
    ASSERT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
    auto backend = kernels::OpenDevice({.device = "cpu", .num_threads = 1, .target = ""});
    ASSERT_TRUE(backend.ok()) << backend.status();
    backend_ = *std::move(backend);
  }

  std::unique_ptr<DecoderStage> Load(StageRange range) {
    auto stage = DecoderStage::Load(
        *file_.config, *file_.weights, *backend_,
        {.range = range,
         .context_length = 64,
         .kv = {.dtype = kernels::DType::kF32, .capacity = 256, .max_sequences = 3},
         .max_tokens = 16,
         .max_outputs = 8,
         .precision = kernels::Precision::kFloat});
    EXPECT_TRUE(stage.ok()) << stage.status();
    return stage.ok() ? *std::move(stage) : nullptr;
  }
  int64_t dim() const { return file_.config->model_dim; }

  // kIds from `begin` to `end` of a sequence; of each, what `wanted` says.
  template <typename Wish>
  static Step StepOf(SequenceId sequence, int32_t begin, int32_t end, Wish wanted) {
    Step step;
    for (int32_t i = begin; i < end; ++i) {
      step.tokens.push_back({.sequence = sequence,
                             .id = kIds[i],
                             .position = i,
                             .parent = i == begin ? kCommittedEnd : i - begin - 1,
                             .wanted = wanted(i)});
    }
    return step;
  }
  static Wanted Hidden(int32_t /*position*/) { return Wanted::kHidden; }

  std::vector<float> Rows(const DecoderStage& stage) const {
    std::vector<float> rows(stage.hidden_rows().size() * dim());
    EXPECT_TRUE(stage.ReadFinalHidden(rows).ok());
    return rows;
  }

  ModelFile file_;
  std::unique_ptr<kernels::Backend> backend_;
};

TEST_F(HiddenRowsTest, TheHeadMakesTheLogitsOfThem) {
  const auto stage = Load(StageRange::Whole(*file_.config));
  ASSERT_NE(stage, nullptr);
  ASSERT_TRUE(stage->kv().Begin(1, {}).ok() && stage->kv().Begin(2, {}).ok());
  ASSERT_TRUE(stage->Run(StepOf(1, 0, kNumIds, Hidden)).ok());
  EXPECT_TRUE(stage->outputs().empty());
  const std::vector<float> rows = Rows(*stage);
  ASSERT_EQ(rows.size(), kNumIds * dim());
  const auto head = file_.weights->Get("output.weight");
  ASSERT_TRUE(head.ok()) << head.status();
  const auto weights = FloatsOf(**head);
  ASSERT_TRUE(weights.ok()) << weights.status();

  ASSERT_TRUE(stage->Run(StepOf(2, 0, kNumIds, [](int32_t) { return Wanted::kLogits; })).ok());
  EXPECT_TRUE(stage->hidden_rows().empty());
  std::vector<float> logits(file_.config->vocab_size);
  for (int32_t row = 0; row < kNumIds; ++row) {
    ASSERT_TRUE(stage->ReadLogits(row, logits).ok());
    for (size_t id = 0; id < logits.size(); ++id) {
      const float* weight = weights->data() + static_cast<int64_t>(id) * dim();
      const float* hidden = rows.data() + row * dim();
      const double product = std::inner_product(weight, weight + dim(), hidden, 0.0);
      ASSERT_NEAR(logits[id], product, 1e-4 * (1 + std::abs(product))) << row << ", " << id;
    }
  }
}

TEST_F(HiddenRowsTest, TheirBitsDependOnNothingButTheText) {
  const auto stage = Load(StageRange::Whole(*file_.config));
  ASSERT_NE(stage, nullptr);
  ASSERT_TRUE(stage->kv().Begin(1, {}).ok() && stage->kv().Begin(2, {}).ok());
  ASSERT_TRUE(stage->Run(StepOf(1, 0, kNumIds, Hidden)).ok());
  const std::vector<float> at_once = Rows(*stage);

  // In two chunks, some rows with logits instead, beside another sequence.
  std::vector<float> some;
  const auto wanted = [](int32_t i) { return i % 3 == 0 ? Wanted::kLogits : Wanted::kHidden; };
  for (const auto& [begin, end] : {std::pair{0, 3}, {3, kNumIds}}) {
    Step step = StepOf(2, begin, end, wanted);
    const auto count = static_cast<int32_t>(step.tokens.size());
    step.tokens.push_back({.sequence = 1,
                           .id = 4,
                           .position = begin == 0 ? kNumIds : kNumIds + 1,
                           .parent = kCommittedEnd,
                           .wanted = Wanted::kSample});
    ASSERT_TRUE(stage->Run(step).ok());
    EXPECT_EQ(stage->outputs().back(), count);
    const std::vector<float> rows = Rows(*stage);
    some.insert(some.end(), rows.begin(), rows.end());
  }
  std::vector<float> expected;
  for (int32_t i = 0; i < kNumIds; ++i) {
    if (i % 3 != 0)
      expected.insert(expected.end(), at_once.begin() + i * dim(),
                      at_once.begin() + (i + 1) * dim());
  }
  EXPECT_EQ(some, expected);
}

TEST_F(HiddenRowsTest, AStepMayWantAllOfThem) {
  const auto stage = Load(StageRange::Whole(*file_.config));
  ASSERT_NE(stage, nullptr);
  ASSERT_TRUE(stage->kv().Begin(1, {}).ok() && stage->kv().Begin(2, {}).ok());
  Step step = StepOf(1, 0, kNumIds, Hidden);
  const Step more = StepOf(2, 0, kNumIds, Hidden);  // 16 rows, where 8 logits are the most
  step.tokens.insert(step.tokens.end(), more.tokens.begin(), more.tokens.end());
  for (int32_t i = kNumIds + 1; i < 2 * kNumIds; ++i) step.tokens[i].parent += kNumIds;
  ASSERT_TRUE(stage->Run(step).ok());
  const std::vector<float> rows = Rows(*stage);
  ASSERT_EQ(rows.size(), 2 * kNumIds * dim());
  EXPECT_TRUE(
      std::equal(rows.begin(), rows.begin() + kNumIds * dim(), rows.begin() + kNumIds * dim()));
}

TEST_F(HiddenRowsTest, OnlyALastStageHasThem) {
  const auto stage = Load({0, 2});
  ASSERT_NE(stage, nullptr);
  ASSERT_TRUE(stage->kv().Begin(1, {}).ok());
  ASSERT_TRUE(stage->Run(StepOf(1, 0, kNumIds, Hidden)).ok());
  std::vector<float> rows(kNumIds * dim());
  EXPECT_TRUE(absl::IsFailedPrecondition(stage->ReadFinalHidden(rows)));
}

}  // namespace
}  // namespace potluck::model
