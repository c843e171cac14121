// The cost model's numbers, worked out by hand.
#include "partition/cost_model.h"

#include <gtest/gtest.h>

#include "tests/partition/clusters.h"

namespace potluck::partition {
namespace {

constexpr double kHop = 0.5e-3 + kHopOverheadSeconds;  // of MakeCluster's links, without bytes

// 10 layers of 100 MB, no KV to speak of, on devices of 10 and 5 GB/s.
struct Kitchen {
  Kitchen() {
    wish.model.embedding_row_bytes = 0;
    for (LayerShape& layer : wish.model.layers) {
      layer.weights[0].held_bytes = 100'000'000;
      layer.weights[0].operations_per_token = 200e6;
      layer.kv_values = 0;
      layer.operations_per_visit = 0;
    }
  }
  Planned Plan() const { return Planned(cluster, wish); }

  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 10e9, 8 * kGiB), MakeDevice("b", 5e9, 8 * kGiB)});
  InstanceWish wish = MakeWish(MakeModel(10, 0));
};

const std::vector<Slice> kSplit = {{0, 0, 6}, {1, 6, 10}};

TEST(CostModelTest, DecodeReadsTheWeightsOnce) {
  Kitchen kitchen;
  kitchen.cluster.devices[0].layer_overhead_seconds = 1e-4;
  kitchen.cluster.devices[1].step_overhead_seconds = 2e-3;
  const Planned planned = kitchen.Plan();
  // Hops: ids in, 4 KiB and 64 bytes across, ids out, at 100 MB/s.
  const double hops = 3 * kHop + (64 + (4096 + 64) + 64) / 100e6;
  const double stages = 6 * (0.01 + 1e-4) + (4 * 0.02 + 2e-3);
  EXPECT_NEAR(1 / planned.model.Predict(kSplit).decode_tokens_per_second, stages + hops, 1e-9);
}

TEST(CostModelTest, LoadAndRivalsSlowADevice) {
  Kitchen kitchen;
  kitchen.cluster.devices[0].load = 0.5;
  const StepWork one{1, 1, 0};
  EXPECT_NEAR(kitchen.Plan().model.CostsOf(0, one, 1, false).Of(0, 10), 0.2, 1e-9);
  Occupancy others;
  others.by_device["a"] = {.bytes = kGiB, .instances = 1};
  const CostModel model(kitchen.cluster, kitchen.wish, others, {0, 1});
  EXPECT_NEAR(model.CostsOf(0, one, 1, false).Of(0, 10), 0.4, 1e-9);
  EXPECT_NEAR(model.CostsOf(0, one, 2, false).Of(0, 10), 0.8, 1e-9);
  EXPECT_NEAR(model.CostsOf(1, one, 1, false).Of(0, 10), 0.2, 1e-9);
  EXPECT_EQ(model.Capacity(0, 1), static_cast<int64_t>(0.8 * 8 * kGiB) - kGiB);
}

TEST(CostModelTest, ManyTokensComputeRatherThanRead) {
  const Kitchen kitchen;
  const Planned planned = kitchen.Plan();
  // 10^12 operations/s: a layer of 200 million operations per token takes 0.2 ms per token; reading
  // it takes 10 ms, as long as 50 tokens.
  const auto layer = [&](int64_t tokens) {
    return planned.model.CostsOf(0, {tokens, 1, 0}, 1, false).Of(1, 2);
  };
  EXPECT_NEAR(layer(1), 0.01, 1e-9);
  EXPECT_NEAR(layer(50), 0.01, 1e-9);
  EXPECT_NEAR(layer(500), 0.1, 1e-9);
}

TEST(CostModelTest, ExpertsAreReadAsFarAsTheyAreUsed) {
  Kitchen kitchen;
  for (LayerShape& layer : kitchen.wish.model.layers) {
    layer.weights[0].touched_share = 0.25;
    layer.weights[0].operations_per_token = 50e6;
  }
  const Planned planned = kitchen.Plan();
  EXPECT_NEAR(planned.model.CostsOf(0, {1, 1, 0}, 1, false).Of(1, 2), 0.0025, 1e-9);
  // Two tokens share some: 1 - 0.75^2.
  EXPECT_NEAR(planned.model.CostsOf(0, {2, 2, 0}, 1, false).Of(1, 2), 0.004375, 1e-9);
}

TEST(CostModelTest, KeysAndValuesAreReadAsFarAsTheyAreSeen) {
  Kitchen kitchen;
  for (LayerShape& layer : kitchen.wish.model.layers) {
    layer.weights.clear();
    layer.kv_values = 1000;
  }
  kitchen.wish.model.layers[3].window = 100;
  const Planned planned = kitchen.Plan();
  const auto layer = [&](int64_t number, const StepWork& work) {
    return planned.model.CostsOf(0, work, 1, false).Of(number, number + 1);
  };
  EXPECT_NEAR(layer(2, {1, 1, 1000}), 1000 * 2000 / 10e9, 1e-12);  // f16
  EXPECT_NEAR(layer(3, {1, 1, 1000}), 100 * 2000 / 10e9, 1e-12);
  EXPECT_NEAR(layer(2, {8, 8, 1000}), 8 * 1000 * 2000 / 10e9, 1e-12);
}

TEST(CostModelTest, PromptsFillThePipeline) {
  Kitchen kitchen;
  kitchen.wish.context_length = 4096;
  const Planned planned = kitchen.Plan();
  // Chunks of 512 tokens: 0.2 ms per layer and token on a, 0.4 on b; 2,048 tokens are four chunks.
  const double a = 512 * 6 * 0.2e-3, b = 512 * 4 * 0.4e-3;
  const double hops = 3 * kHop + 512 * (64 + (4096 + 64) + 64) / 100e6;
  const Prediction prediction = planned.model.Predict(kSplit);
  EXPECT_EQ(prediction.prompt_tokens, 2048);
  EXPECT_NEAR(2048 / prediction.prefill_tokens_per_second, a + b + hops + 3 * b, 1e-6);
}

TEST(CostModelTest, SeveralStepsInFlightTakeAsLongAsTheSlowestPart) {
  Kitchen kitchen;
  kitchen.wish.parallel = 400;
  kitchen.wish.objective = Objective::kThroughput;
  const Planned planned = kitchen.Plan();
  // 200 tokens a step: 40 ms per layer on a, 80 on b. Hops carry 200 * 4160 bytes, 8.3 ms.
  const std::vector<Slice> slices = {{0, 0, 7}, {1, 7, 10}};
  EXPECT_NEAR(planned.model.PriceWith(slices, 2, 200), 2 * 0.28, 1e-9);
  EXPECT_LT(planned.model.Price(slices), planned.model.PriceWith(slices, 1, 400));
  const Prediction prediction = planned.model.Predict(slices);
  EXPECT_EQ(prediction.steps_in_flight, 2);
  EXPECT_NEAR(prediction.together_tokens_per_second, 400 / 0.56, 1e-6);
  // On one host they slow each other down.
  kitchen.cluster.devices[1].host_id = kitchen.cluster.devices[0].host_id;
  EXPECT_NEAR(kitchen.Plan().model.PriceWith(slices, 2, 200), 4 * 0.28, 0.01);
}

TEST(CostModelTest, WhatIsForbiddenHasNoPrice) {
  Kitchen kitchen;
  EXPECT_LT(kitchen.Plan().model.Price(kSplit), kNever);
  ASSERT_EQ(kitchen.cluster.links[2].from, "a");
  kitchen.cluster.links[2].reachable = false;
  const Planned planned = kitchen.Plan();
  EXPECT_EQ(planned.model.Price(kSplit), kNever);
  EXPECT_LT(planned.model.Price(std::vector<Slice>{{0, 0, 10}}), kNever);
  EXPECT_EQ(planned.model.Price(std::vector<Slice>{}), kNever);
}

TEST(CostModelTest, MovingCountsUntilTenThousandTokens) {
  Kitchen kitchen;
  kitchen.wish.previous = {{"a", 0, 10}};
  const Planned planned = kitchen.Plan();
  // 100 MB over 100 MB/s and from disk at 300 MB/s: 4/3 s for each layer.
  EXPECT_NEAR(planned.model.CostsOf(1, {1, 1, 0}, 1, true).Of(6, 10) -
                  planned.model.CostsOf(1, {1, 1, 0}, 1, false).Of(6, 10),
              4 * (4.0 / 3) / kTokensToRepayMoving, 1e-12);
  EXPECT_NEAR(planned.model.MovingSeconds(kSplit), 4 * (4.0 / 3), 1e-9);
  EXPECT_EQ(planned.model.MovedBytes(kSplit), 400e6);
  kitchen.wish.cached = {{"b", 6, 8}};
  EXPECT_NEAR(kitchen.Plan().model.MovingSeconds(kSplit), 2 * (4.0 / 3) + 2 * (1.0 / 3), 1e-9);
}

}  // namespace
}  // namespace potluck::partition
