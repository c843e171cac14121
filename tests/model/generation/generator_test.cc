// The generator on the demo model: what it says is a function of prompt and seed, and each way to
// end an answer ends it.
#include "model/generation/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/devices.h"
#include "model/generation/local_model.h"
#include "tests/testing/fake_clock.h"

namespace potluck::model {
namespace {

using ::testing::HasSubstr;

const std::string kDemo = POTLUCK_SOURCE_DIR "/deploy/demo/potluck-demo-1m-q8_0.gguf";

class GeneratorTest : public testing::Test {
 protected:
  void SetUp() override {
    auto model =
        LocalModel::Load(kDemo, *kernels::OpenDevice({.num_threads = 2}), {.max_tokens = 64});
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    generator_.emplace(model_->stage(), model_->tokenizer(), clock_);
    auto prompt = model_->text().EncodeChat(
        {.messages = {{{"role", "user"}, {"content", "What can I bring to a pot-luck?"}}},
         .now = absl::CivilSecond(2026, 1, 2)});
    ASSERT_TRUE(prompt.ok()) << prompt.status();
    request_.prompt = std::move(prompt->ids);
    request_.sampling.temperature = 0;
    request_.max_tokens = 60;
  }

  Generation Generate(const GenerationCallbacks& callbacks = {}) {
    auto generation = generator_->Generate(request_, callbacks);
    EXPECT_TRUE(generation.ok()) << generation.status();
    return generation.ok() ? *std::move(generation) : Generation();
  }

  FakeClock clock_;
  std::unique_ptr<LocalModel> model_;
  std::optional<Generator> generator_;
  GenerationRequest request_;
};

TEST_F(GeneratorTest, StreamsExactlyTheTextThatItReturns) {
  std::string streamed;
  const Generation generation =
      Generate({.on_text = [&](std::string_view text) { streamed.append(text); }});
  EXPECT_FALSE(generation.text.empty());
  EXPECT_EQ(streamed, generation.text);
  EXPECT_EQ(model_->tokenizer().Decode(generation.ids, {.continuation = true}), generation.text);
}

TEST_F(GeneratorTest, SaysTheSameAgainWithTheKvOfTheFirstTime) {
  const Generation first = Generate();
  EXPECT_EQ(first.timings.cached_tokens, 0);
  const Generation second = Generate();
  EXPECT_EQ(second.ids, first.ids);
  request_.prompt.insert(request_.prompt.end(), first.ids.begin(), first.ids.end());
  const Generation third = Generate();
  EXPECT_GT(third.timings.cached_tokens, 0);
}

TEST_F(GeneratorTest, ASeedMeansOneText) {
  request_.sampling.temperature = 1.5f;
  request_.sampling.seed = 1;
  const Generation one = Generate();
  EXPECT_EQ(Generate().ids, one.ids);
  request_.sampling.seed = 2;
  EXPECT_NE(Generate().ids, one.ids);
}

TEST_F(GeneratorTest, EndsAtTheLimitAtAStopStringAndWhenItIsTold) {
  const Generation whole = Generate();
  EXPECT_EQ(whole.finish_reason, FinishReason::kStop);
  request_.max_tokens = 3;
  const Generation three = Generate();
  EXPECT_EQ(three.finish_reason, FinishReason::kLength);
  EXPECT_EQ(three.ids, std::vector<TokenId>(whole.ids.begin(), whole.ids.begin() + 3));
  request_.max_tokens = 0;
  EXPECT_TRUE(Generate().ids.empty());

  request_.max_tokens = 60;
  const size_t cut = whole.text.size() / 2;
  request_.stop = {whole.text.substr(cut, 4)};
  const Generation stopped = Generate();
  EXPECT_EQ(stopped.finish_reason, FinishReason::kStop);
  EXPECT_EQ(stopped.text, whole.text.substr(0, whole.text.find(request_.stop.front())));

  request_.stop = {};
  int steps = 0;
  EXPECT_EQ(Generate({.cancelled = [&] { return ++steps > 4; }}).finish_reason,
            FinishReason::kCancelled);
}

TEST_F(GeneratorTest, EndTokensOfTheFileEndAnAnswer) {
  const Generation whole = Generate();
  request_.end_tokens = {whole.ids[2]};
  const auto first = std::find(whole.ids.begin(), whole.ids.end(), whole.ids[2]);
  EXPECT_EQ(Generate().ids, std::vector<TokenId>(whole.ids.begin(), first));
}

TEST_F(GeneratorTest, LogprobsBelongToTheChosenTokens) {
  request_.top_logprobs = 2;
  const Generation generation = Generate();
  ASSERT_EQ(generation.logprobs.size(), generation.ids.size());
  for (size_t i = 0; i < generation.ids.size(); ++i) {
    ASSERT_EQ(generation.logprobs[i].size(), 3u);
    EXPECT_EQ(generation.logprobs[i][0].id, generation.ids[i]);
    EXPECT_EQ(generation.logprobs[i][1].id, generation.ids[i]) << "greedy takes the likeliest";
    EXPECT_LE(generation.logprobs[i][0].logprob, 0);
  }
}

TEST_F(GeneratorTest, ThePromptMustFitWithTheAnswer) {
  request_.prompt.assign(model_->stage().context_length(), 1);
  const auto refused = generator_->Generate(request_);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr(std::to_string(model_->stage().context_length())));

  request_.prompt.pop_back();
  request_.max_tokens = -1;
  const Generation last = Generate();
  EXPECT_LE(last.ids.size(), 1u);
  request_.prompt.clear();
  EXPECT_EQ(generator_->Generate(request_).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace potluck::model
