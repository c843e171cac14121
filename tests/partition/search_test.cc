// The search against all pipelines there are, on small random clusters. Seeds are printed; the
// environment variable POTLUCK_TEST_SEED repeats one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "partition/pipeline_search.h"
#include "partition/subset_search.h"
#include "tests/partition/clusters.h"

namespace potluck::partition {
namespace {

constexpr int kCases = 300;

uint64_t FirstSeed() {
  const char* seed = std::getenv("POTLUCK_TEST_SEED");
  return seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10);
}

// Every order of every set of devices, with every way to cut the layers.
class BruteForce {
 public:
  explicit BruteForce(const CostModel& model) : model_(model) {}

  // With `spread`: the most devices first.
  double LeastPrice(bool spread) {
    Grow(0);
    if (!spread) return *std::ranges::min_element(least_);
    for (size_t count = least_.size(); count-- > 0;)
      if (least_[count] < kNever) return least_[count];
    return kNever;
  }

 private:
  void Grow(int64_t first) {
    if (first == model_.num_layers()) {
      double& least = least_[slices_.size()];
      least = std::min(least, model_.Price(slices_));
      return;
    }
    for (int device = 0; device < model_.num_devices(); ++device) {
      if (used_.contains(device)) continue;
      used_.insert(device);
      for (int64_t end = first + 1; end <= model_.num_layers(); ++end) {
        slices_.push_back({device, first, end});
        Grow(end);
        slices_.pop_back();
      }
      used_.erase(device);
    }
  }

  const CostModel& model_;
  std::vector<Slice> slices_;
  std::set<int> used_;
  std::vector<double> least_ = std::vector<double>(16, kNever);
};

struct Variant {
  Objective objective = Objective::kLatency;
  bool spread = false;
  bool moves = false;
};

void PrintTo(const Variant& variant, std::ostream* out) {
  *out << (variant.objective == Objective::kLatency ? "latency" : "throughput")
       << (variant.spread ? ", spread" : "") << (variant.moves ? ", moves" : "");
}

class SearchTest : public testing::TestWithParam<Variant> {};

TEST_P(SearchTest, EqualsBruteForce) {
  int fitting = 0, split = 0, shared = 0;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + kCases; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const ClusterProfile cluster = RandomCluster(random, 1 + static_cast<int>(seed % 5));
    ASSERT_EQ(Validate(cluster).message(), "");
    InstanceWish wish = MakeWish(RandomModel(random, 1 + static_cast<int64_t>(random() % 7)));
    wish.objective = GetParam().objective;
    wish.parallel = 1 + static_cast<int64_t>(random() % 12);
    if (GetParam().moves) wish.previous = {{"d0", 0, 1}, {"d1", 0, wish.model.num_layers()}};
    const Planned planned(cluster, wish);
    const PipelineChoice found = FindPipeline(planned.model, {.spread = GetParam().spread});
    const double least = BruteForce(planned.model).LeastPrice(GetParam().spread);
    if (least == kNever) {
      EXPECT_TRUE(found.slices.empty());
      continue;
    }
    ++fitting;
    ASSERT_FALSE(found.slices.empty());
    EXPECT_NEAR(planned.model.Price(found.slices) / least, 1, 1e-8);
    if (found.slices.size() > 1) ++split;
    for (const int sharers : planned.model.SharersOf(found.slices)) shared += sharers > 1;
  }
  // The cases say something only if many fit, and many of these are split.
  EXPECT_GT(fitting, kCases / 4);
  EXPECT_GT(split, kCases / 10);
  if (GetParam().spread) {
    EXPECT_GT(shared, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Variants, SearchTest,
    testing::Values(Variant{}, Variant{.objective = Objective::kThroughput},
                    Variant{.spread = true},
                    Variant{.objective = Objective::kThroughput, .spread = true},
                    Variant{.moves = true},
                    Variant{.objective = Objective::kThroughput, .moves = true}));

// A control: the comparison above is able to tell a worse pipeline.
TEST(SearchControlTest, BruteForceFindsBetterThanAnyOtherCut) {
  const ClusterProfile cluster =
      MakeCluster({MakeDevice("fast", 20e9, kGiB), MakeDevice("slow", 2e9, 4 * kGiB)});
  const InstanceWish wish = MakeWish(MakeModel(8, 200 * kMiB));
  const Planned planned(cluster, wish);
  const double least = BruteForce(planned.model).LeastPrice(false);
  // Four layers fit on the fast device (819 MiB with buffers); three of them there are worse.
  EXPECT_EQ(planned.model.Price(std::vector<Slice>{{0, 0, 4}, {1, 4, 8}}), least);
  EXPECT_GT(planned.model.Price(std::vector<Slice>{{0, 0, 3}, {1, 3, 8}}), least * 1.1);
}

TEST(HeuristicTest, LargeClustersKeepTheRulesAndBeatEverySingleDevice) {
  int compared = 0;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 5; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const ClusterProfile cluster = RandomCluster(random, 20 + static_cast<int>(seed * 7 % 20));
    InstanceWish wish = MakeWish(RandomModel(random, 40));
    wish.objective = seed % 2 == 0 ? Objective::kLatency : Objective::kThroughput;
    wish.parallel = 8;
    const Planned planned(cluster, wish);
    const PipelineChoice found = FindPipeline(planned.model, {});
    EXPECT_EQ(found.exact, planned.model.num_devices() <= kMostExactDevices);
    if (found.exact || found.slices.empty()) continue;
    ++compared;
    EXPECT_LT(found.price, kNever);
    EXPECT_EQ(found.price, planned.model.Price(found.slices));
    for (int device = 0; device < planned.model.num_devices(); ++device) {
      EXPECT_LE(found.price, planned.model.Price(std::vector<Slice>{{device, 0, 40}}));
    }
  }
  EXPECT_GT(compared, 2);
}

// What the heuristic found, beside the exact answer to the same question.
struct Comparison {
  int compared = 0, equal = 0;
  double worst = 1;  // of the prices' ratios

  // With the heuristic for more than `most_exact_devices`; cases without an answer do not count.
  void Add(const CostModel& model, int most_exact_devices) {
    ASSERT_GT(model.num_devices(), most_exact_devices);
    const PipelineChoice exact = FindPipeline(model, {.most_exact_devices = model.num_devices()});
    const PipelineChoice found = FindPipeline(model, {.most_exact_devices = most_exact_devices});
    ASSERT_TRUE(exact.exact);
    ASSERT_FALSE(found.exact);
    if (exact.slices.empty()) return;
    ASSERT_FALSE(found.slices.empty());
    const double ratio = found.price / exact.price;
    ASSERT_GE(ratio, 1 - 1e-8);
    ++compared;
    if (ratio < 1 + 1e-8) ++equal;
    worst = std::max(worst, ratio);
  }
};

TEST(HeuristicTest, FindsTheExactAnswerOfThirteenDevices) {
  for (const Objective objective : {Objective::kLatency, Objective::kThroughput}) {
    Comparison comparison;
    for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 40; ++seed) {
      SCOPED_TRACE(testing::Message() << "seed " << seed);
      std::mt19937_64 random(seed);
      const ClusterProfile cluster = RandomCluster(random, 13);
      InstanceWish wish = MakeWish(RandomModel(random, 12));
      wish.objective = objective;
      wish.parallel = 8;
      const Planned planned(cluster, wish);
      if (planned.model.num_devices() > kMostExactDevices)
        comparison.Add(planned.model, kMostExactDevices);
    }
    EXPECT_GT(comparison.compared, 10);
    EXPECT_EQ(comparison.equal, comparison.compared);
    EXPECT_LT(comparison.worst, 1.1);
  }
}

// Pipelines that may be longer than what the exact search is asked about: harder than what it is
// made for.
TEST(HeuristicTest, ComesCloseWhereItSeesHalfOfTheDevicesAtATime) {
  Comparison comparison;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const ClusterProfile cluster = RandomCluster(random, 9);
    const InstanceWish wish = MakeWish(RandomModel(random, 8));
    const Planned planned(cluster, wish);
    if (planned.model.num_devices() > 5) comparison.Add(planned.model, 5);
  }
  EXPECT_GT(comparison.compared, 50);
  EXPECT_GE(comparison.equal, comparison.compared * 9 / 10);
  EXPECT_LT(comparison.worst, 1.5);
}

// Far devices that are of no use change nothing, wherever they are listed.
TEST(HeuristicTest, UselessDevicesChangeNothing) {
  int compared = 0;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 12; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    ClusterProfile cluster = RandomCluster(random, 9);
    const InstanceWish wish = MakeWish(RandomModel(random, 24));
    const Planned few(cluster, wish);
    const PipelineChoice exact = FindPipeline(few.model, {});
    if (exact.slices.empty()) continue;
    ++compared;
    for (int i = 0; i < 30; ++i) {
      const std::string id = (i % 2 == 0 ? "a" : "z") + std::to_string(i);
      cluster.devices.push_back(MakeDevice(id, 1e7, 4 * kGiB));
      cluster.links.push_back(MakeLink(cluster.coordinator_id, id, 0.5, 1e6));
    }
    const Planned many(cluster, wish);
    const PipelineChoice found = FindPipeline(many.model, {});
    ASSERT_FALSE(found.exact);
    EXPECT_NEAR(found.price / exact.price, 1, 1e-8);
  }
  EXPECT_GT(compared, 3);
}

TEST(HeuristicTest, SixtyFourDevicesForAModelThatNeedsMostOfThem) {
  std::vector<DeviceProfile> devices;
  for (int i = 0; i < kMaxDevices; ++i)
    devices.push_back(MakeDevice("pi" + std::to_string(100 + i), (8 + i % 5) * 1e9, kGiB));
  const ClusterProfile cluster = MakeCluster(devices);
  const InstanceWish wish = MakeWish(MakeModel(126, 300 * kMiB));
  const Planned planned(cluster, wish);
  const PipelineChoice found = FindPipeline(planned.model, {});
  // 0.8 GiB hold two layers of 300 MiB with their buffers.
  EXPECT_EQ(found.slices.size(), 63);
  EXPECT_EQ(FindPipeline(planned.model, {.spread = true}).slices.size(), 64);
}

}  // namespace
}  // namespace potluck::partition
