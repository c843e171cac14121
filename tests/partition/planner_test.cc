// What a plan promises, whatever the cluster: on random clusters, and told by small examples.
#include "partition/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/partition/clusters.h"

namespace potluck::partition {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Text(const absl::Status& status) { return std::string(status.message()); }

std::vector<std::string> DevicesOf(const InstancePlan& plan) {
  std::vector<std::string> ids;
  for (const StagePlan& stage : plan.stages) ids.push_back(stage.device_id);
  return ids;
}

std::string ReasonOf(const InstancePlan& plan, const std::string& device_id) {
  for (const LeftOut& left_out : plan.left_out)
    if (left_out.device_id == device_id) return left_out.reason;
  return "";
}

InstancePlan MustPlan(const ClusterProfile& cluster, const InstanceWish& wish,
                      const Occupancy& others = {}) {
  absl::StatusOr<InstancePlan> plan = PlanInstance(cluster, wish, others);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  return plan.ok() ? *plan : InstancePlan();
}

void ExpectSound(const InstancePlan& plan, const ClusterProfile& cluster,
                 const InstanceWish& wish) {
  int64_t next = 0;
  for (const StagePlan& stage : plan.stages) {
    EXPECT_EQ(stage.first_layer, next);
    EXPECT_GE(stage.last_layer, stage.first_layer);
    EXPECT_EQ(stage.has_embedding, stage.first_layer == 0);
    EXPECT_EQ(stage.has_head, stage.last_layer + 1 == wish.model.num_layers());
    EXPECT_LE(stage.total_bytes(), stage.allowed_bytes);
    EXPECT_GT(stage.decode_seconds, 0);
    next = stage.last_layer + 1;
  }
  EXPECT_EQ(next, wish.model.num_layers());
  EXPECT_EQ(plan.hops.size(), plan.stages.size() + 1);
  // Every device is in the plan, or has a reason; never both.
  for (const DeviceProfile& device : cluster.devices) {
    const bool used = std::ranges::count(DevicesOf(plan), device.id) == 1;
    EXPECT_NE(used, !ReasonOf(plan, device.id).empty()) << device.id;
  }
  // 80% of what is free: on each device, and of hosts' memory together.
  for (const DeviceProfile& device : cluster.devices) {
    int64_t of_host = 0;
    for (const StagePlan& stage : plan.stages) {
      const DeviceProfile& mate =
          *std::ranges::find(cluster.devices, stage.device_id, &DeviceProfile::id);
      if (mate.id == device.id) {
        EXPECT_LE(stage.total_bytes(), 0.8 * static_cast<double>(device.free_memory_bytes));
      }
      if (!mate.own_memory && mate.host_id == device.host_id) of_host += stage.total_bytes();
    }
    int64_t host_free = 0;
    for (const DeviceProfile& mate : cluster.devices)
      if (!mate.own_memory && mate.host_id == device.host_id)
        host_free = std::max(host_free, mate.free_memory_bytes);
    EXPECT_LE(of_host, 0.8 * static_cast<double>(host_free));
  }
}

TEST(PlannerTest, PlansKeepTheRulesOnRandomClusters) {
  int planned = 0;
  for (uint64_t seed = 1; seed <= 80; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const ClusterProfile cluster = RandomCluster(random, 1 + static_cast<int>(random() % 6));
    InstanceWish wish = MakeWish(RandomModel(random, 1 + static_cast<int64_t>(random() % 24)));
    wish.parallel = 1 + static_cast<int64_t>(random() % 8);
    wish.objective = random() % 2 == 0 ? Objective::kLatency : Objective::kThroughput;
    wish.spread = random() % 4 == 0;
    wish.copies = 1 + static_cast<int>(random() % 3);
    const absl::StatusOr<InstancePlan> plan = PlanInstance(cluster, wish, {});
    if (!plan.ok()) {
      EXPECT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted) << Text(plan.status());
      continue;
    }
    ++planned;
    ExpectSound(*plan, cluster, wish);
    if (wish.spread) continue;
    // Never slower, by its own prediction, than any single device that fits.
    const Planned single(cluster, wish);
    for (int device = 0; device < single.model.num_devices(); ++device) {
      const std::vector<Slice> alone = {{device, 0, wish.model.num_layers()}};
      if (single.model.Price(alone) == kNever) continue;
      const Prediction prediction = single.model.Predict(alone);
      // The preference for a first stage near the coordinator is the thousandth of a hop.
      if (wish.objective == Objective::kLatency) {
        EXPECT_GE(plan->prediction.decode_tokens_per_second,
                  prediction.decode_tokens_per_second * 0.999);
      } else {
        EXPECT_GE(plan->prediction.together_tokens_per_second,
                  prediction.together_tokens_per_second * 0.999);
      }
    }
  }
  EXPECT_GT(planned, 20);
}

TEST(PlannerTest, FasterDevicesNeverMakeASlowerPlan) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    ClusterProfile cluster = RandomCluster(random, 5);
    InstanceWish wish = MakeWish(RandomModel(random, 10));
    wish.parallel = 4;
    wish.objective = seed % 2 == 0 ? Objective::kLatency : Objective::kThroughput;
    const auto price = [&] {
      const absl::StatusOr<InstancePlan> plan = PlanInstance(cluster, wish, {});
      const Planned planned(cluster, wish);
      return plan.ok() ? planned.model.Price(planned.SlicesOf(*plan)) : kNever;
    };
    const double before = price();
    DeviceProfile& device = cluster.devices[random() % cluster.devices.size()];
    for (double& rate : device.decode_bytes_per_second) rate *= 1.5;
    // For one stream, a token may be 5% later for the sake of even stages.
    const double most = before * (wish.objective == Objective::kLatency ? 1.05 : 1) * (1 + 1e-8);
    EXPECT_LE(price(), most);
    for (double& rate : device.prefill_operations_per_second) rate *= 1.5;
    EXPECT_LE(price(), most);
    device.total_memory_bytes *= 2;
    device.free_memory_bytes *= 2;
    EXPECT_LE(price(), most);
    for (LinkProfile& link : cluster.links) link.bytes_per_second *= 2;
    EXPECT_LE(price(), most);
  }
}

TEST(PlannerTest, TheOrderOfTheListsDoesNotMatter) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    // All alike on the even seeds, so that only ids decide.
    ClusterProfile cluster =
        seed % 2 == 0 ? MakeCluster({MakeDevice("a", 1e10, kGiB), MakeDevice("b", 1e10, kGiB),
                                     MakeDevice("c", 1e10, kGiB), MakeDevice("d", 1e10, kGiB)})
                      : RandomCluster(random, 5);
    InstanceWish wish = MakeWish(MakeModel(12, 180 * kMiB));
    wish.parallel = 4;
    wish.copies = 2;
    wish.objective = seed % 3 == 0 ? Objective::kThroughput : Objective::kLatency;
    const absl::StatusOr<InstancePlan> first = PlanInstance(cluster, wish, {});
    std::ranges::shuffle(cluster.devices, random);
    std::ranges::shuffle(cluster.links, random);
    const absl::StatusOr<InstancePlan> second = PlanInstance(cluster, wish, {});
    ASSERT_EQ(first.status(), second.status());
    if (!first.ok()) continue;
    EXPECT_EQ(first->placements(), second->placements());
    EXPECT_EQ(first->prediction.decode_tokens_per_second,
              second->prediction.decode_tokens_per_second);
    for (size_t i = 0; i < first->stages.size(); ++i) {
      ASSERT_EQ(first->stages[i].standby.size(), second->stages[i].standby.size());
      for (size_t j = 0; j < first->stages[i].standby.size(); ++j)
        EXPECT_EQ(first->stages[i].standby[j].device_id, second->stages[i].standby[j].device_id);
    }
    for (size_t i = 0; i < first->left_out.size(); ++i)
      EXPECT_EQ(first->left_out[i].reason, second->left_out[i].reason);
  }
}

TEST(PlannerTest, OneMachineAloneWhereItIsFastest) {
  const ClusterProfile cluster =
      MakeCluster({MakeDevice("desk", 20e9, 8 * kGiB), MakeDevice("pi", 4e9, 4 * kGiB)});
  const InstancePlan plan = MustPlan(cluster, MakeWish(MakeModel(20, 100 * kMiB)));
  EXPECT_THAT(DevicesOf(plan), ElementsAre("desk"));
  EXPECT_THAT(ReasonOf(plan, "pi"), HasSubstr("with it the model would be slower"));
  EXPECT_THAT(ReasonOf(plan, "pi"), HasSubstr("tokens/s"));
}

TEST(PlannerTest, FastestDeviceIsFilledAndTheRestTakesTheRest) {
  const ClusterProfile cluster =
      MakeCluster({MakeDevice("desk", 20e9, 2 * kGiB), MakeDevice("pi", 4e9, 8 * kGiB)});
  const InstancePlan plan = MustPlan(cluster, MakeWish(MakeModel(20, 100 * kMiB)));
  // 80% of 2 GiB, 1638 MiB, hold 16 layers of 100 MiB with KV and buffers.
  ASSERT_EQ(plan.stages.size(), 2);
  for (const StagePlan& stage : plan.stages)
    EXPECT_EQ(stage.last_layer - stage.first_layer + 1, stage.device_id == "desk" ? 16 : 4);
}

TEST(PlannerTest, FirstStageIsNearTheCoordinatorWhereTheRestIsEqual) {
  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 1e10, kGiB), MakeDevice("b", 1e10, kGiB)}, 5e-3);
  for (const char* near : {"a", "b"}) {
    for (LinkProfile& link : cluster.links) {
      if (link.from == cluster.coordinator_id) link.round_trip_seconds = link.to == near ? 0 : 5e-3;
    }
    const InstancePlan plan = MustPlan(cluster, MakeWish(MakeModel(8, 150 * kMiB)));
    ASSERT_EQ(plan.stages.size(), 2);
    EXPECT_EQ(plan.stages[0].device_id, near);
  }
}

TEST(PlannerTest, ThroughputPipelinesWhereComputingIsTheLimit) {
  // Many streams on devices with little arithmetic: two stages at work at once beat one.
  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 10e9, 8 * kGiB), MakeDevice("b", 10e9, 8 * kGiB)});
  for (DeviceProfile& device : cluster.devices) device.prefill_operations_per_second.fill(20e9);
  InstanceWish wish = MakeWish(MakeModel(16, 50 * kMiB));
  wish.parallel = 16;
  EXPECT_EQ(MustPlan(cluster, wish).stages.size(), 1);
  wish.objective = Objective::kThroughput;
  const InstancePlan plan = MustPlan(cluster, wish);
  EXPECT_EQ(plan.stages.size(), 2);
  EXPECT_EQ(plan.prediction.steps_in_flight, 2);
  // Not where both share one host: there is nothing to gain.
  cluster.devices[1].host_id = cluster.devices[0].host_id;
  EXPECT_EQ(MustPlan(cluster, wish).stages.size(), 1);
}

TEST(PlannerTest, DevicesOfOneHostShareItsMemory) {
  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 10e9, 2 * kGiB), MakeDevice("b", 10e9, 2 * kGiB)});
  const InstanceWish wish = MakeWish(MakeModel(20, 100 * kMiB));
  EXPECT_EQ(MustPlan(cluster, wish).stages.size(), 2);
  cluster.devices[1].host_id = cluster.devices[0].host_id;
  const absl::StatusOr<InstancePlan> plan = PlanInstance(cluster, wish, {});
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted);
  cluster.devices[1].own_memory = true;  // a graphics card with memory of its own
  EXPECT_EQ(MustPlan(cluster, wish).stages.size(), 2);
}

// The limit is the owner's: no share of it is left free, and what the instance holds is in it.
TEST(PlannerTest, NoDeviceGivesMoreThanItsOwnerLends) {
  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 20e9, 16 * kGiB), MakeDevice("b", 5e9, 16 * kGiB)});
  InstanceWish wish = MakeWish(MakeModel(8, kGiB));
  cluster.devices[0].memory_limit_bytes = 3 * kGiB + 512 * kMiB;
  for (int round = 0; round < 2; ++round) {
    const auto plan = PlanInstance(cluster, wish, {});
    ASSERT_TRUE(plan.ok()) << plan.status();
    ASSERT_EQ(DevicesOf(*plan), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(plan->stages[0].last_layer, 2);
    EXPECT_EQ(plan->stages[0].allowed_bytes, cluster.devices[0].memory_limit_bytes);
    wish.previous = plan->placements();
  }
  // Where less is free than is lent, that counts.
  cluster.devices[0].free_memory_bytes = 2 * kGiB;
  wish.previous.clear();
  const auto plan = PlanInstance(cluster, wish, {});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->stages[0].last_layer, 0);
}

TEST(PlannerTest, SpreadUsesEveryDeviceThatCanHoldALayer) {
  const ClusterProfile cluster =
      MakeCluster({MakeDevice("desk", 20e9, 8 * kGiB), MakeDevice("pi", 4e9, 4 * kGiB),
                   MakeDevice("tiny", 4e9, 64 * kMiB), MakeDevice("zero", 1e9, kGiB)});
  InstanceWish wish = MakeWish(MakeModel(20, 100 * kMiB));
  wish.spread = true;
  const InstancePlan plan = MustPlan(cluster, wish);
  EXPECT_THAT(DevicesOf(plan), testing::UnorderedElementsAre("desk", "pi", "zero"));
  EXPECT_THAT(ReasonOf(plan, "tiny"), HasSubstr("a single layer with its buffers needs"));
  wish.objective = Objective::kThroughput;
  wish.parallel = 8;
  EXPECT_EQ(MustPlan(cluster, wish).stages.size(), 3);
}

TEST(PlannerTest, StagesAreEvenWhereTheNextTokenComesAsSoon) {
  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 10e9, 8 * kGiB), MakeDevice("b", 10e9, 8 * kGiB)});
  InstanceWish wish = MakeWish(MakeModel(20, 100 * kMiB, /*end_bytes=*/200 * kMiB));
  wish.spread = true;
  const auto layers = [](const InstancePlan& plan) {
    std::vector<int64_t> counts;
    for (const StagePlan& stage : plan.stages)
      counts.push_back(stage.last_layer - stage.first_layer + 1);
    return counts;
  };
  // The head counts as two layers, the embedding is looked up.
  EXPECT_THAT(layers(MustPlan(cluster, wish)), ElementsAre(11, 9));
  // It stands on one of them so far: moving half of it does not spoil that.
  wish.previous = {{"a", 0, 20}};
  EXPECT_THAT(layers(MustPlan(cluster, wish)), ElementsAre(11, 9));
  // Speeds that differ as measurements do still give stages that take the same time each.
  cluster.devices[1] = MakeDevice("b", 8e9, 8 * kGiB);
  EXPECT_THAT(layers(MustPlan(cluster, wish)), ElementsAre(10, 10));
  // Where one is twice as fast, the next token counts, too: the other one gets less than its share.
  cluster.devices[1] = MakeDevice("b", 5e9, 8 * kGiB);
  EXPECT_THAT(layers(MustPlan(cluster, wish)), ElementsAre(6, 14));
}

TEST(PlannerTest, ABusyMomentMovesNothing) {
  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 10e9, 2 * kGiB), MakeDevice("b", 10e9, 2 * kGiB),
                   MakeDevice("c", 10e9, 2 * kGiB)});
  InstanceWish wish = MakeWish(MakeModel(24, 100 * kMiB));
  for (const Objective objective : {Objective::kLatency, Objective::kThroughput}) {
    wish.objective = objective;
    wish.parallel = 4;
    wish.previous.clear();
    cluster.devices[0].load = 0;
    wish.previous = MustPlan(cluster, wish).placements();
    cluster.devices[0].load = 0.1;
    EXPECT_EQ(MustPlan(cluster, wish).placements(), wish.previous);
    cluster.devices[0].load = 0.6;
    EXPECT_NE(MustPlan(cluster, wish).placements(), wish.previous);
  }
}

TEST(PlannerTest, LayersWhereAPersonWishesThem) {
  const ClusterProfile cluster =
      MakeCluster({MakeDevice("desk", 20e9, 8 * kGiB), MakeDevice("pi", 4e9, 4 * kGiB)});
  InstanceWish wish = MakeWish(MakeModel(20, 100 * kMiB));
  wish.layers = *ParseLayerWishes("desk=12-19,pi=0-11");
  const InstancePlan plan = MustPlan(cluster, wish);
  EXPECT_THAT(plan.placements(), ElementsAre(Placement{"pi", 0, 12}, Placement{"desk", 12, 20}));

  wish.layers = *ParseLayerWishes("desk=0-11,nas=12-19");
  const InstancePlan without = MustPlan(cluster, wish);
  EXPECT_THAT(DevicesOf(without), ElementsAre("desk"));
  EXPECT_THAT(without.notes,
              Contains(HasSubstr("planned without the wish for layers: no device called nas")));

  wish.layers = *ParseLayerWishes("desk=0-11,pi=13-19");
  EXPECT_THAT(Text(PlanInstance(cluster, wish, {}).status()), HasSubstr("layer 12 of 20"));
  wish.layers = *ParseLayerWishes("desk=0-12,pi=12-19");
  EXPECT_THAT(Text(PlanInstance(cluster, wish, {}).status()),
              HasSubstr("layer 12 is wished for twice"));
  wish.layers = *ParseLayerWishes("desk=0-12,pi=13-20");
  EXPECT_THAT(Text(PlanInstance(cluster, wish, {}).status()), HasSubstr("layers are 0 to 19"));

  wish.model = MakeModel(20, 300 * kMiB);
  wish.layers = *ParseLayerWishes("desk=0-3,pi=4-19");
  EXPECT_THAT(MustPlan(cluster, wish).notes, Contains(HasSubstr("pi may give 3.2 GiB")));
}

TEST(PlannerTest, SeveralInstancesShareTheMemory) {
  const ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 11e9, 4 * kGiB), MakeDevice("b", 10e9, 4 * kGiB)});
  InstanceWish one = MakeWish(MakeModel(10, 100 * kMiB)), two = one;
  two.id = "i2";
  const auto beside = [&](const InstanceWish& other, const std::vector<Placement>& places) {
    Occupancy occupancy;
    Occupy(other, places, occupancy);
    return occupancy;
  };
  // Two replicas: each gets a device of its own.
  const InstancePlan first = MustPlan(cluster, one);
  EXPECT_THAT(DevicesOf(first), ElementsAre("a"));
  EXPECT_THAT(DevicesOf(MustPlan(cluster, two, beside(one, first.placements()))), ElementsAre("b"));

  // A second model that needs what the first has is told so.
  two.model = MakeModel(10, 600 * kMiB);
  const auto refused = PlanInstance(cluster, two, beside(one, first.placements()));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);

  two.model = MakeModel(10, 450 * kMiB);
  const InstancePlan second = MustPlan(cluster, two, beside(one, first.placements()));
  EXPECT_EQ(second.stages.size(), 2);
  EXPECT_THAT(second.notes, Contains(HasSubstr("a serves 1 other model")));
  // The first one stays beside it.
  one.previous = first.placements();
  const InstancePlan stays = MustPlan(cluster, one, beside(two, second.placements()));
  EXPECT_EQ(stays.placements(), one.previous);
  EXPECT_THAT(stays.notes, Not(Contains(HasSubstr("loading"))));
}

TEST(PlannerTest, LayersMoveOnlyForWhatIsWorthIt) {
  const ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 10.0e9, 4 * kGiB), MakeDevice("b", 10.1e9, 4 * kGiB),
                   MakeDevice("c", 30e9, 4 * kGiB)});
  InstanceWish wish = MakeWish(MakeModel(10, 100 * kMiB));
  wish.previous = {{"a", 0, 10}};
  ClusterProfile without_c = cluster;
  without_c.devices[2].availability = Availability::kPaused;
  const InstancePlan stays = MustPlan(without_c, wish);
  EXPECT_EQ(stays.placements(), wish.previous);
  EXPECT_EQ(stays.moved_bytes, 0);
  EXPECT_THAT(ReasonOf(stays, "b"), HasSubstr("not worth moving"));
  EXPECT_THAT(ReasonOf(stays, "c"), HasSubstr("paused"));
  const InstancePlan moves = MustPlan(cluster, wish);
  EXPECT_THAT(DevicesOf(moves), ElementsAre("c"));
  EXPECT_EQ(moves.moved_bytes, 1000 * kMiB);
  // A death moves the dead device's layers alone.
  wish.model = MakeModel(40, 100 * kMiB);
  wish.previous = {{"a", 0, 20}, {"c", 20, 40}};
  ClusterProfile dead = cluster;
  dead.devices.erase(dead.devices.begin() + 2);
  std::erase_if(dead.links,
                [](const LinkProfile& link) { return link.from == "c" || link.to == "c"; });
  const InstancePlan after = MustPlan(dead, wish);
  EXPECT_THAT(after.placements(), ElementsAre(Placement{"a", 0, 20}, Placement{"b", 20, 40}));
  EXPECT_EQ(after.moved_bytes, 2000 * kMiB);
}

TEST(PlannerTest, StandbysAndWhatIsSurvived) {
  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 10e9, 2 * kGiB), MakeDevice("b", 10e9, 2 * kGiB),
                   MakeDevice("c", 2e9, 2 * kGiB)});
  InstanceWish wish = MakeWish(MakeModel(24, 100 * kMiB));
  wish.copies = 2;
  const InstancePlan plan = MustPlan(cluster, wish);
  ASSERT_EQ(plan.stages.size(), 2);
  for (const StagePlan& stage : plan.stages) {
    ASSERT_EQ(stage.standby.size(), 1);
    // c is idle: it has memory for either.
    EXPECT_EQ(stage.standby[0].device_id, "c");
    EXPECT_TRUE(stage.standby[0].fits_in_memory);
  }
  ASSERT_EQ(plan.losses.size(), 2);
  for (const WorkerLoss& loss : plan.losses) {
    EXPECT_TRUE(loss.survived);
    EXPECT_EQ(loss.how, "c is to have its layers on disk, and has memory for them");
  }

  // No disk at c: the two hold each other's layers on disk, though not in memory.
  cluster.devices[2].free_disk_bytes = 0;
  for (const StagePlan& stage : MustPlan(cluster, wish).stages) {
    ASSERT_EQ(stage.standby.size(), 1);
    EXPECT_EQ(stage.standby[0].device_id, stage.device_id == "a" ? "b" : "a");
    EXPECT_FALSE(stage.standby[0].fits_in_memory);
  }
  // What is on a disk already needs no room there.
  wish.cached = {{"c", 0, 24}};
  EXPECT_EQ(MustPlan(cluster, wish).stages[0].standby[0].device_id, "c");
  wish.cached.clear();

  for (DeviceProfile& device : cluster.devices) device.free_disk_bytes = 0;
  const InstancePlan bare = MustPlan(cluster, wish);
  EXPECT_THAT(bare.stages[0].standby, IsEmpty());
  EXPECT_THAT(bare.notes, Contains(HasSubstr("have 0 of 1 standby copies")));
  EXPECT_THAT(bare.losses[0].how, HasSubstr("sent again"));

  // Without c, neither can be lost.
  cluster.devices[2].availability = Availability::kResting;
  for (const WorkerLoss& loss : MustPlan(cluster, wish).losses) {
    EXPECT_FALSE(loss.survived);
    EXPECT_THAT(loss.how, HasSubstr("the rest lacks"));
  }
}

TEST(PlannerTest, WhoStandsByGoesOnUnlessSomebodyIsBetterPlaced) {
  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 20e9, 4 * kGiB), MakeDevice("b", 4e9, 4 * kGiB),
                   MakeDevice("c", 3e9, 4 * kGiB)});
  InstanceWish wish = MakeWish(MakeModel(24, 100 * kMiB));
  wish.copies = 2;
  const auto standby = [&] { return MustPlan(cluster, wish).stages.at(0).standby.at(0).device_id; };
  EXPECT_EQ(standby(), "b");
  wish.standing_by = {{"c", 0, 24}};
  EXPECT_EQ(standby(), "c");
  // Its copy may fill the disk.
  cluster.devices[2].free_disk_bytes = 0;
  EXPECT_EQ(standby(), "c");
  wish.standing_by[0].state = CopyState::kOnDisk;
  EXPECT_THAT(MustPlan(cluster, wish).losses[0].how, HasSubstr("c has its layers on disk"));
  wish.standing_by[0].state = CopyState::kFailed;
  EXPECT_EQ(standby(), "b");
  cluster.devices[1].free_disk_bytes = 0;
  EXPECT_THAT(MustPlan(cluster, wish).notes, Contains(HasSubstr("c could not keep them")));
  cluster.devices[1].free_disk_bytes = cluster.devices[0].free_disk_bytes;
  wish.standing_by[0].state = CopyState::kComing;
  cluster.devices[2].host_id = cluster.devices[0].host_id;
  EXPECT_EQ(standby(), "b");
}

TEST(PlannerTest, StandbysAreOnOtherHostsAndWorkers) {
  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 10e9, 8 * kGiB), MakeDevice("b", 9e9, 8 * kGiB),
                   MakeDevice("c", 2e9, 8 * kGiB)});
  cluster.devices[1].host_id = cluster.devices[0].host_id;
  InstanceWish wish = MakeWish(MakeModel(10, 100 * kMiB));
  wish.copies = 3;
  const InstancePlan plan = MustPlan(cluster, wish);
  ASSERT_THAT(DevicesOf(plan), ElementsAre("a"));
  ASSERT_EQ(plan.stages[0].standby.size(), 2);
  EXPECT_EQ(plan.stages[0].standby[0].device_id, "c");
  EXPECT_EQ(plan.stages[0].standby[1].device_id, "b");
  cluster.devices[1].worker_id = "a";  // a second device of the very worker that may die
  cluster.links = MakeCluster({cluster.devices[0], cluster.devices[2]}).links;
  EXPECT_EQ(MustPlan(cluster, wish).stages[0].standby.size(), 1);
}

TEST(PlannerTest, EveryDeviceThatIsLeftOutHasItsReason) {
  ClusterProfile cluster =
      MakeCluster({MakeDevice("busy", 10e9, 8 * kGiB), MakeDevice("desk", 10e9, 8 * kGiB),
                   MakeDevice("far", 10e9, 8 * kGiB), MakeDevice("gpu", 10e9, 8 * kGiB),
                   MakeDevice("gone", 10e9, 8 * kGiB), MakeDevice("lost", 10e9, 8 * kGiB)});
  cluster.devices[0].load = 0.97;
  cluster.devices[3].backend = "opencl";
  cluster.devices[3].decode_bytes_per_second[static_cast<int>(kernels::DType::kQ8_0)] = 0;
  cluster.devices[3].prefill_operations_per_second[static_cast<int>(kernels::DType::kQ8_0)] = 0;
  cluster.devices[4].availability = Availability::kLeaving;
  for (LinkProfile& link : cluster.links) {
    if (link.from == "lost" || link.to == "lost") link.reachable = false;
    if (link.from == "far" || link.to == "far") link.round_trip_seconds = 0.2;
  }
  const InstancePlan plan = MustPlan(cluster, MakeWish(MakeModel(10, 100 * kMiB)));
  EXPECT_THAT(DevicesOf(plan), ElementsAre("desk"));
  EXPECT_THAT(ReasonOf(plan, "busy"), HasSubstr("97% of it are in use"));
  EXPECT_THAT(ReasonOf(plan, "far"), HasSubstr("the ways to and from it 200 ms"));
  EXPECT_THAT(ReasonOf(plan, "gpu"), HasSubstr("its opencl does not compute with q8_0"));
  EXPECT_THAT(ReasonOf(plan, "gone"), HasSubstr("leaving"));
  EXPECT_THAT(ReasonOf(plan, "lost"), HasSubstr("no way between it and the coordinator"));
}

TEST(PlannerTest, WhatDoesNotFitIsToldWithNumbersThatDoFit) {
  const ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 10e9, 2 * kGiB), MakeDevice("b", 10e9, 2 * kGiB)});
  InstanceWish wish = MakeWish(MakeModel(20, 100 * kMiB));
  wish.context_length = 65536;
  wish.parallel = 4;
  const std::string text = Text(PlanInstance(cluster, wish, {}).status());
  EXPECT_THAT(text, HasSubstr("are missing. It would fit with a context of "));
  EXPECT_THAT(text, HasSubstr("another machine with "));
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  // The largest context that it names fits, and the next does not.
  int64_t context = 0;
  ASSERT_EQ(std::sscanf(text.c_str() + text.find("a context of ", text.find("would fit")),
                        "a context of %ld", &context),
            1);
  wish.context_length = context;
  EXPECT_TRUE(PlanInstance(cluster, wish, {}).ok());
  wish.context_length = context + 256;
  EXPECT_FALSE(PlanInstance(cluster, wish, {}).ok());
  // Left to the planner, it is the model's own, the default, or what fits.
  wish.context_length = 0;
  EXPECT_EQ(MustPlan(cluster, wish).context_length, std::min<int64_t>(context, kDefaultContext));
  wish.model.context_length = 1024;
  EXPECT_EQ(MustPlan(cluster, wish).context_length, 1024);
  // Weights alone too large: only another machine helps.
  wish.model = MakeModel(40, 100 * kMiB);
  const std::string weights = Text(PlanInstance(cluster, wish, {}).status());
  EXPECT_THAT(weights, Not(HasSubstr("--ctx")));
  EXPECT_THAT(weights, HasSubstr("It would fit with another machine"));
  EXPECT_THAT(Text(PlanInstance({}, wish, {}).status()), HasSubstr("there is no worker"));
}

TEST(PlannerTest, RelayedWaysAndMixedNumericsAreTold) {
  ClusterProfile cluster =
      MakeCluster({MakeDevice("a", 10e9, 2 * kGiB), MakeDevice("b", 10e9, 2 * kGiB)});
  cluster.devices[1].numerics_class = "opencl-mali";
  std::erase_if(cluster.links, [&](const LinkProfile& link) { return link.from == "a"; });
  const InstancePlan plan = MustPlan(cluster, MakeWish(MakeModel(24, 100 * kMiB)));
  EXPECT_TRUE(plan.hops[1].relayed);
  EXPECT_GT(plan.hops[1].decode_seconds, plan.hops[0].decode_seconds * 1.9);
  EXPECT_THAT(plan.notes, Contains(HasSubstr("through the coordinator")));
  EXPECT_THAT(plan.notes, Contains(HasSubstr("cpu-1 (a) and opencl-mali (b)")));
}

TEST(PlannerTest, WishesThatAreNoneAreRefused) {
  const ClusterProfile cluster = MakeCluster({MakeDevice("a", 10e9, 2 * kGiB)});
  const InstanceWish good = MakeWish(MakeModel(4, 100 * kMiB));
  const auto refused = [&](auto change) {
    InstanceWish wish = good;
    change(wish);
    const absl::Status status = PlanInstance(cluster, wish, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status.message();
  };
  refused([](InstanceWish& wish) { wish.context_length = -1; });
  refused([](InstanceWish& wish) { wish.context_length = int64_t{1} << 40; });
  refused([](InstanceWish& wish) { wish.context_length = (1 << 20) + 1; });
  refused([](InstanceWish& wish) { wish.parallel = 0; });
  refused([](InstanceWish& wish) { wish.parallel = 1 << 20; });
  refused([](InstanceWish& wish) { wish.max_step_tokens = 0; });
  refused([](InstanceWish& wish) { wish.copies = 0; });
  refused([](InstanceWish& wish) { wish.kv_dtype = kernels::DType::kQ4_0; });
  refused([](InstanceWish& wish) { wish.previous = {{"a", 0, 5}}; });
  refused([](InstanceWish& wish) { wish.cached = {{"a", 2, 2}}; });
  refused([](InstanceWish& wish) { wish.standing_by = {{"a", 2, 2}}; });
  refused([](InstanceWish& wish) { wish.model.layers.clear(); });
  refused([](InstanceWish& wish) { wish.model.layers[1].weights[0].held_bytes = -1; });
  refused(
      [](InstanceWish& wish) { wish.model.head_dim = 80, wish.kv_dtype = kernels::DType::kQ8_0; });
  EXPECT_TRUE(PlanInstance(cluster, good, {}).ok());
}

}  // namespace
}  // namespace potluck::partition
