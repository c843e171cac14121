#include "model/sampling/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "model/sampling/philox.h"

namespace potluck::model {
namespace {

SamplingParams Everything() {
  SamplingParams params;
  params.temperature = 1;
  params.top_k = 0;
  params.top_p = 1;
  params.min_p = 0;
  return params;
}

std::vector<float> RandomLogits(size_t size, uint32_t seed, float spread = 3) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(generator);
  return logits;
}

// How often each token comes over many positions.
std::map<TokenId, int> Draw(const std::vector<float>& logits, const SamplingParams& params,
                            int count) {
  Sampler sampler;
  std::map<TokenId, int> drawn;
  for (int position = 0; position < count; ++position) {
    ++drawn[*sampler.Sample(logits, params, {.position = position})];
  }
  return drawn;
}

// The known answers that come with the Random123 library.
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(Philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Sampler, GreedyTakesTheLargestAndOfEqualOnesTheLowestId) {
  SamplingParams params;
  params.temperature = 0;
  Sampler sampler;
  EXPECT_EQ(*sampler.Sample(std::vector<float>{0, 3, 1, 3}, params, {}), 1);
}

TEST(Sampler, DrawsTokensAsOftenAsTheirProbabilitySays) {
  const std::vector<float> logits = {0, 1, 2, -1, 0.5f};
  SamplingParams params = Everything();
  params.temperature = 0.7f;
  constexpr int kDraws = 40000;
  const auto drawn = Draw(logits, params, kDraws);
  double total = 0;
  for (const float logit : logits) total += std::exp(logit / 0.7);
  for (size_t id = 0; id < logits.size(); ++id) {
    const double p = std::exp(logits[id] / 0.7) / total;
    const double deviation = std::sqrt(kDraws * p * (1 - p));
    EXPECT_NEAR(drawn.at(static_cast<TokenId>(id)), kDraws * p, 5 * deviation) << "token " << id;
  }
}

TEST(Sampler, IsAPureFunctionOfSeedChoiceAndPosition) {
  std::vector<float> logits;
  for (int id = 0; id < 1000; ++id) logits.push_back(static_cast<float>(id * 37 % 101) / 50);
  SamplingParams params = Everything();
  params.seed = 42;
  Sampler sampler, other;
  std::vector<TokenId> first, other_seed, other_choice;
  for (int position = 0; position < 50; ++position) {
    first.push_back(*sampler.Sample(logits, params, {.position = position}));
    other_choice.push_back(*sampler.Sample(logits, params, {.position = position, .choice = 1}));
  }
  for (int position = 49; position >= 0; --position) {
    EXPECT_EQ(*other.Sample(logits, params, {.position = position}), first[position]);
  }
  params.seed = 43;
  for (int position = 0; position < 50; ++position) {
    other_seed.push_back(*sampler.Sample(logits, params, {.position = position}));
  }
  EXPECT_NE(first, other_seed);
  EXPECT_NE(first, other_choice);
  // The known answer: a seed means the same on every machine and in every version.
  EXPECT_EQ(std::vector<TokenId>(first.begin(), first.begin() + 4),
            (std::vector<TokenId>{652, 614, 613, 469}));
}

// What a filter leaves, found by drawing often.
std::vector<TokenId> Survivors(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<TokenId> ids;
  for (const auto& [id, count] : Draw(logits, params, 3000)) ids.push_back(id);
  return ids;
}

TEST(Sampler, TopKKeepsTheKBest) {
  SamplingParams params = Everything();
  params.top_k = 2;
  EXPECT_EQ(Survivors({1, 1.1f, 0.9f, 1.05f}, params), (std::vector<TokenId>{1, 3}));
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f),
                                     std::log(0.05f)};
  SamplingParams params = Everything();
  params.top_p = 0.79f;
  EXPECT_EQ(Survivors(logits, params), (std::vector<TokenId>{0, 1}));
  params.top_p = 0.81f;
  EXPECT_EQ(Survivors(logits, params), (std::vector<TokenId>{0, 1, 2}));
  params.top_p = 0.01f;
  EXPECT_EQ(Survivors(logits, params), (std::vector<TokenId>{0}));
}

TEST(Sampler, MinPKeepsWhatIsNotTooFarFromTheBest) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f),
                                     std::log(0.05f)};
  SamplingParams params = Everything();
  params.min_p = 0.2f;
  EXPECT_EQ(Survivors(logits, params), (std::vector<TokenId>{0, 1, 2}));
}

TEST(Sampler, SkippingHopelessTokensNeverChangesTheChoice) {
  // Against the definition, written out: every token with its noise, no token skipped.
  SamplingParams params = Everything();
  params.seed = 9;
  Sampler sampler;
  for (int position = 0; position < 200; ++position) {
    const std::vector<float> logits = RandomLogits(500, position, 12);
    double best = -std::numeric_limits<double>::infinity();
    TokenId expected = -1;
    for (TokenId id = 0; id < 500; ++id) {
      const auto bits =
          Philox4x32({static_cast<uint32_t>(id), static_cast<uint32_t>(position), 0, 0}, {9, 0});
      const double value = logits[id] - std::log(-std::log((bits[0] + 0.5) / 4294967296.0));
      if (value > best) {
        best = value;
        expected = id;
      }
    }
    ASSERT_EQ(*sampler.Sample(logits, params, {.position = position}), expected);
  }
}

TEST(Sampler, PenaltiesLowerWhatWasSaid) {
  SamplingParams params;
  params.temperature = 0;
  const std::vector<TokenId> history = {0, 1, 1, 1};
  const SamplingContext context{.history = history, .prompt_length = 1, .position = 4};
  Sampler sampler;
  const auto choice = [&](const std::vector<float>& logits) {
    return *sampler.Sample(logits, params, context);
  };

  params.repeat_penalty = 2;
  EXPECT_EQ(choice({4, 4, 2.5f}), 2);     // prompt and answer alike, positive logits are halved
  EXPECT_EQ(choice({-2, -2, -3.5f}), 2);  // and negative ones doubled
  params.repeat_window = 0;
  EXPECT_EQ(choice({4, 4, 2.5f}), 0);
  params = {};
  params.temperature = 0;
  params.presence_penalty = 1;
  EXPECT_EQ(choice({0, 4, 3.5f}), 2);  // once, however often it was said
  EXPECT_EQ(choice({0, 4, 2.5f}), 1);
  EXPECT_EQ(choice({4, 0, 3.5f}), 0);  // and not for the prompt
  params.presence_penalty = 0;
  params.frequency_penalty = 1;
  EXPECT_EQ(choice({0, 4, 1.5f}), 2);  // three times
}

TEST(Sampler, BiasAndMaskDecideWhatMayBeSaid) {
  SamplingParams params;
  params.temperature = 0;
  params.logit_bias = {{2, 10.0f}};
  Sampler sampler;
  EXPECT_EQ(*sampler.Sample(std::vector<float>{0, 3, 1}, params, {}), 2);
  const std::vector<uint64_t> allowed = {0b001};
  EXPECT_EQ(*sampler.Sample(std::vector<float>{0, 3, 1}, params, {.allowed = allowed}), 0);
  const std::vector<uint64_t> none = {0};
  EXPECT_EQ(sampler.Sample(std::vector<float>{0, 3, 1}, params, {.allowed = none}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(Sampler, ALogitThatIsNoFiniteNumberIsAnError) {
  Sampler sampler;
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(sampler.Sample(std::vector<float>{0, bad}, SamplingParams(), {}).status().code(),
              absl::StatusCode::kInternal);
  }
  SamplingParams params;
  params.logit_bias = {{1, 3e38f}, {1, 3e38f}};
  EXPECT_EQ(sampler.Sample(std::vector<float>{0, 1}, params, {}).status().code(),
            absl::StatusCode::kInternal);
}

TEST(CheckSampling, NamesWhatIsOutOfRange) {
  const auto message = [](auto change) {
    SamplingParams params;
    change(params);
    return std::string(CheckSampling(params, 100).message());
  };
  EXPECT_EQ(message([](SamplingParams&) {}), "");
  EXPECT_THAT(message([](SamplingParams& p) { p.temperature = -1; }),
              testing::HasSubstr("temperature"));
  EXPECT_THAT(message([](SamplingParams& p) { p.temperature = std::nanf(""); }),
              testing::HasSubstr("temperature"));
  EXPECT_THAT(message([](SamplingParams& p) { p.top_p = 0; }), testing::HasSubstr("top_p"));
  EXPECT_THAT(message([](SamplingParams& p) { p.min_p = 2; }), testing::HasSubstr("min_p"));
  EXPECT_THAT(message([](SamplingParams& p) { p.top_k = -1; }), testing::HasSubstr("top_k"));
  EXPECT_THAT(message([](SamplingParams& p) { p.repeat_penalty = 0; }),
              testing::HasSubstr("repeat_penalty"));
  EXPECT_THAT(message([](SamplingParams& p) {
                p.logit_bias = {{100, 1}};
              }),
              testing::HasSubstr("logit_bias"));
}

TEST(Logprobs, AreThoseOfTheSoftmaxBestFirst) {
  const std::vector<float> logits = {std::log(0.2f), std::log(0.5f), std::log(0.2f),
                                     std::log(0.1f)};
  const auto logprobs = Logprobs(logits, 3, 3);
  ASSERT_EQ(logprobs.size(), 4u);
  EXPECT_EQ(logprobs[0].id, 3);
  EXPECT_NEAR(logprobs[0].logprob, std::log(0.1), 1e-6);
  EXPECT_EQ(logprobs[1].id, 1);
  EXPECT_NEAR(logprobs[1].logprob, std::log(0.5), 1e-6);
  EXPECT_EQ(logprobs[2].id, 0);
  EXPECT_EQ(logprobs[3].id, 2);
  EXPECT_EQ(Logprobs(logits, 0, 99).size(), 5u);
}

}  // namespace
}  // namespace potluck::model
