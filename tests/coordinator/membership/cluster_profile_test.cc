// What members say of themselves, as the planner gets it.
#include "coordinator/membership/cluster_profile.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>

#include "coordinator/membership/hello_check.h"
#include "partition/planner.h"

namespace potluck::coordinator {
namespace {

using kernels::DType;
using partition::Availability;

constexpr int64_t kGiB = int64_t{1} << 30;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

wire::DeviceProfile MakeDevice(const std::string& name) {
  return {.device = name,
          .description = "a stove",
          .backend = "cpu",
          .numerics_class = "cpu-1",
          .memory_bytes = 16 * kGiB,
          .free_memory_bytes = 12 * kGiB,
          .step_overhead_seconds = 3e-6,
          .layer_overhead_seconds = 9e-6,
          .rates = {{DType::kQ4_K, 20e9, 4e11}, {DType::kF16, 21e9, 3e11}}};
}

// Connected, measured, and heard from.
Member MakeMember(const std::string& worker) {
  Member member;
  member.hello.worker = worker;
  member.hello.name = "label of " + worker;
  member.hello.host = "host of " + worker;
  member.hello.addresses = {worker + ":7080"};
  member.hello.devices.push_back(MakeDevice("cpu"));
  member.hello.disk_free_bytes = 90 * kGiB;
  member.heartbeat.number = 1;
  member.heartbeat.load = 0.25;
  member.heartbeat.free_memory_bytes.push_back(11 * kGiB);
  member.heartbeat.disk_free_bytes = 80 * kGiB;
  member.has_control = member.has_data = member.measured = true;
  member.links[wire::kCoordinator] = {true, 2e-3, 50e6};
  return member;
}

using Members = std::map<wire::WorkerId, Member>;

partition::ClusterProfile Profile(const Members& members) {
  const partition::ClusterProfile cluster = MakeClusterProfile(members, "house", {});
  EXPECT_EQ(partition::Validate(cluster).message(), "");
  return cluster;
}

TEST(ClusterProfileTest, LosesNothingThatADeviceSays) {
  const partition::ClusterProfile cluster = Profile({{"w1", MakeMember("w1")}});
  EXPECT_EQ(cluster.coordinator_id, wire::kCoordinator);
  EXPECT_EQ(cluster.coordinator_host_id, "house");
  ASSERT_EQ(cluster.devices.size(), 1);
  const partition::DeviceProfile& device = cluster.devices[0];
  EXPECT_EQ(device.id, "w1/cpu");
  EXPECT_EQ(device.worker_id, "w1");
  EXPECT_EQ(device.name, "label of w1");
  EXPECT_EQ(device.host_id, "host of w1");
  EXPECT_EQ(device.backend, "cpu");
  EXPECT_EQ(device.numerics_class, "cpu-1");
  EXPECT_FALSE(device.own_memory);
  EXPECT_EQ(device.step_overhead_seconds, 3e-6);
  EXPECT_EQ(device.layer_overhead_seconds, 9e-6);
  EXPECT_EQ(device.total_memory_bytes, 16 * kGiB);
  // The heartbeat is newer than the hello.
  EXPECT_EQ(device.free_memory_bytes, 11 * kGiB);
  EXPECT_EQ(device.free_disk_bytes, 80 * kGiB);
  EXPECT_EQ(device.load, 0.25);
  for (int i = 0; i < kernels::kNumWeightDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    const bool q4 = dtype == DType::kQ4_K, f16 = dtype == DType::kF16;
    EXPECT_EQ(device.decode_bytes_per_second[i], q4 ? 20e9 : f16 ? 21e9 : 0);
    EXPECT_EQ(device.prefill_operations_per_second[i], q4 ? 4e11 : f16 ? 3e11 : 0);
  }
}

// Two workers of one host see each other at work.
TEST(ClusterProfileTest, WhatOtherWorkersOfTheHostDoIsNoLoad) {
  Members members = {{"w1", MakeMember("w1")}, {"w2", MakeMember("w2")}, {"w3", MakeMember("w3")}};
  members.at("w1").heartbeat.load = members.at("w3").heartbeat.load = 0.75;
  members.at("w2").heartbeat.own_load = 0.5;
  EXPECT_EQ(Profile(members).devices[0].load, 0.5) << "a newcomer gets its fair share";
  members.at("w2").hello.host = members.at("w3").hello.host = members.at("w1").hello.host;
  EXPECT_EQ(Profile(members).devices[0].load, 0.25);
  members.at("w3").heartbeat.own_load = 0.5;
  EXPECT_EQ(Profile(members).devices[0].load, 0);
  members.at("w2").has_control = false;
  EXPECT_EQ(Profile(members).devices[0].load, 0.25);
}

// Who measured itself before it joined was a load to the other.
TEST(ClusterProfileTest, WhoSeesTheLeastLoadOfAHostIsRight) {
  Members members = {{"w1", MakeMember("w1")}, {"w2", MakeMember("w2")}};
  members.at("w1").heartbeat.load = 0.5;
  members.at("w2").heartbeat = {};
  EXPECT_EQ(Profile(members).devices[0].load, 0.5);
  members.at("w2").hello.host = members.at("w1").hello.host;
  EXPECT_EQ(Profile(members).devices[0].load, 0);
  EXPECT_EQ(Profile(members).devices[1].load, 0);
}

TEST(ClusterProfileTest, LikeDevicesOfAHostAreEquallyFast) {
  Members members = {{"w1", MakeMember("w1")}, {"w2", MakeMember("w2")}};
  wire::DeviceProfile& undisturbed = members.at("w2").hello.devices[0];
  undisturbed.rates[0].decode_bytes_per_second *= 2;
  undisturbed.layer_overhead_seconds /= 2;
  const auto speeds_of = [&](size_t index) {
    const partition::ClusterProfile cluster = Profile(members);
    return std::pair(cluster.devices[index].decode_bytes_per_second,
                     cluster.devices[index].layer_overhead_seconds);
  };
  EXPECT_NE(speeds_of(0), speeds_of(1));
  members.at("w2").hello.host = members.at("w1").hello.host;
  const auto fastest = speeds_of(1);
  EXPECT_EQ(speeds_of(0), fastest);
  // Like in all that tells machines, limits of memory and programs apart.
  const Members alike = members;
  const auto other = [&]() -> wire::WorkerHello& { return members.at("w1").hello; };
  const auto differs = [&] {
    const bool is_apart = speeds_of(0) != fastest && speeds_of(1) == fastest;
    members = alike;
    return is_apart;
  };
  other().devices[0].description = "Ryzen, 2 threads";
  EXPECT_TRUE(differs());
  other().devices[0].memory_bytes /= 2;
  EXPECT_TRUE(differs());
  other().devices[0].numerics_class = "cpu-2";
  EXPECT_TRUE(differs());
  other().version.build = "0.0.9";
  EXPECT_TRUE(differs());
  // What one cannot compute with, it cannot because the other one can.
  other().devices[0].rates.pop_back();
  EXPECT_EQ(Profile(members).devices[0].decode_bytes_per_second[static_cast<size_t>(DType::kF16)],
            0);
}

// Whether a device shares its host's memory is its worker's to say, whatever its backend is called.
TEST(ClusterProfileTest, MemoryOfItsOwnIsWhatTheWorkerSays) {
  Members members = {{"w1", MakeMember("w1")}};
  wire::DeviceProfile discrete = MakeDevice("opencl:0"), shared = MakeDevice("cuda:0");
  discrete.own_memory = true;
  members.at("w1").hello.devices = {MakeDevice("cpu"), discrete, shared};
  const auto devices = Profile(members).devices;
  ASSERT_EQ(devices.size(), 3);
  EXPECT_FALSE(devices[0].own_memory);
  EXPECT_TRUE(devices[1].own_memory);
  EXPECT_FALSE(devices[2].own_memory);
}

// Memory of stages that run counts as free for the planner, but never more than there is.
TEST(ClusterProfileTest, MemoryOfStagesIsFree) {
  Members members = {{"w1", MakeMember("w1")}};
  Member& member = members.at("w1");
  member.heartbeat.free_memory_bytes = {7 * kGiB};
  const auto free_bytes = [&](int64_t held) {
    member.heartbeat.held_memory_bytes = {held};
    return Profile(members).devices[0].free_memory_bytes;
  };
  EXPECT_EQ(free_bytes(0), 7 * kGiB);
  EXPECT_EQ(free_bytes(4 * kGiB), 11 * kGiB);
  EXPECT_EQ(free_bytes(13 * kGiB), 16 * kGiB);
  // A hello after a lost link tells of the stages that are still there.
  member.heartbeat = {};
  member.hello.devices[0].free_memory_bytes = 3 * kGiB;
  member.hello.devices[0].held_memory_bytes = 8 * kGiB;
  EXPECT_EQ(Profile(members).devices[0].free_memory_bytes, 11 * kGiB);
  EXPECT_EQ(Profile(members).devices[0].free_disk_bytes, 90 * kGiB);
}

// Workers of one machine share its memory: what one's stages hold is free for another, too.
TEST(ClusterProfileTest, MemoryOfStagesIsFreeOnAllOfTheirHost) {
  Members members = {{"w1", MakeMember("w1")}, {"w2", MakeMember("w2")}, {"w3", MakeMember("w3")}};
  members.at("w1").hello.host = members.at("w2").hello.host = "shed";
  members.at("w1").heartbeat.held_memory_bytes = {2 * kGiB};
  wire::DeviceProfile card = MakeDevice("cuda:0");
  card.own_memory = true;
  members.at("w2").hello.devices.push_back(card);
  members.at("w2").heartbeat.free_memory_bytes = {9 * kGiB, 5 * kGiB};
  members.at("w2").heartbeat.held_memory_bytes = {kGiB, 4 * kGiB};
  std::map<std::string, int64_t> free_bytes;
  for (const auto& device : Profile(members).devices)
    free_bytes[device.id] = device.free_memory_bytes;
  EXPECT_EQ(free_bytes["w1/cpu"], 14 * kGiB);
  EXPECT_EQ(free_bytes["w2/cpu"], 12 * kGiB);
  EXPECT_EQ(free_bytes["w2/cuda:0"], 9 * kGiB);
  EXPECT_EQ(free_bytes["w3/cpu"], 11 * kGiB);
  // In a container with a limit of its own the others' memory is out of reach.
  members.at("w2").hello.devices[0].memory_bytes = 12 * kGiB;
  free_bytes.clear();
  for (const auto& device : Profile(members).devices)
    free_bytes[device.id] = device.free_memory_bytes;
  EXPECT_EQ(free_bytes["w1/cpu"], 13 * kGiB);
  EXPECT_EQ(free_bytes["w2/cpu"], 10 * kGiB);
}

// A worker that holds a model keeps it when it is planned again: its own stage takes no room away,
// before its first heartbeat with it, after, and when it has dialled again.
TEST(ClusterProfileTest, AStageDoesNotTakeItsOwnRoom) {
  partition::InstanceWish wish;
  wish.model.name = "model";
  wish.model.model_dim = wish.model.head_dim = 32;
  wish.model.context_length = wish.context_length = 512;
  for (int i = 0; i < 8; ++i) {
    partition::LayerShape layer;
    layer.weights.push_back(
        {.dtype = DType::kF16, .held_bytes = kGiB, .operations_per_token = 1e9});
    layer.kv_values = 32;
    wish.model.layers.push_back(layer);
  }
  wish.model.embedding.dtype = wish.model.head.dtype = DType::kF16;
  Members members = {{"w1", MakeMember("w1")}};
  Member& member = members.at("w1");
  const auto plan = partition::PlanInstance(Profile(members), wish, {});
  ASSERT_TRUE(plan.ok()) << plan.status();
  const int64_t held = plan->stages[0].total_bytes();
  ASSERT_GT(held, 11 * kGiB / 2);  // twice does not fit

  wish.previous = plan->placements();
  const auto stays = [&] {
    const auto again = partition::PlanInstance(Profile(members), wish, {});
    EXPECT_TRUE(again.ok()) << again.status();
    return again.ok() && again->placements() == wish.previous;
  };
  EXPECT_TRUE(stays());
  member.heartbeat.free_memory_bytes = {11 * kGiB - held};
  member.heartbeat.held_memory_bytes = {held};
  EXPECT_TRUE(stays());
  member.hello.devices[0].free_memory_bytes = 11 * kGiB - held;
  member.hello.devices[0].held_memory_bytes = held;
  member.heartbeat = {};
  EXPECT_TRUE(stays());
  // The control: memory that others have taken is not there.
  member.hello.devices[0].held_memory_bytes = 0;
  EXPECT_FALSE(partition::PlanInstance(Profile(members), wish, {}).ok());
}

TEST(ClusterProfileTest, TheOwnersLimitIsThePlannersToKeep) {
  Members members = {{"w1", MakeMember("w1")}};
  EXPECT_EQ(Profile(members).devices[0].memory_limit_bytes, 0);
  members.at("w1").hello.devices[0].memory_limit_bytes = 4 * kGiB;
  EXPECT_EQ(Profile(members).devices[0].memory_limit_bytes, 4 * kGiB);
  EXPECT_EQ(Profile(members).devices[0].free_memory_bytes, 11 * kGiB);
}

TEST(ClusterProfileTest, StatesSayWhoMayHaveLayers) {
  const auto availability = [](auto change) {
    Members members = {{"w1", MakeMember("w1")}};
    change(members.at("w1"));
    return Profile(members).devices.at(0).availability;
  };
  EXPECT_EQ(availability([](Member&) {}), Availability::kReady);
  EXPECT_EQ(availability([](Member& m) { m.suspect = true; }), Availability::kSuspect);
  EXPECT_EQ(availability([](Member& m) { m.paused = true; }), Availability::kPaused);
  EXPECT_EQ(availability([](Member& m) { m.owner_paused = true; }), Availability::kPaused);
  EXPECT_EQ(availability([](Member& m) { m.wants_to_leave = true; }), Availability::kLeaving);
  EXPECT_EQ(availability([](Member& m) { m.drained = true; }), Availability::kLeaving);
  EXPECT_EQ(availability([](Member& m) { m.rests_until = absl::Seconds(1); }),
            Availability::kResting);
}

TEST(ClusterProfileTest, LeavesOutWhoIsNotThere) {
  Members members = {{"gone", MakeMember("gone")},
                     {"half", MakeMember("half")},
                     {"here", MakeMember("here")},
                     {"new", MakeMember("new")},
                     {"no rates", MakeMember("no rates")}};
  members.at("gone").has_control = members.at("gone").has_data = false;
  members.at("half").has_data = false;
  members.at("new").measured = false;
  members.at("no rates").hello.devices[0].rates.clear();
  // Links to those who are left out would name nobody.
  for (const char* to : {"gone", "half", "new", "no rates"})
    members.at("here").links[to] = {true, 1e-3, 1e8};
  const partition::ClusterProfile cluster = Profile(members);
  ASSERT_EQ(cluster.devices.size(), 1);
  EXPECT_EQ(cluster.devices[0].worker_id, "here");
  ASSERT_EQ(cluster.links.size(), 1);
  EXPECT_EQ(cluster.links[0].to, wire::kCoordinator);
}

TEST(ClusterProfileTest, LinksAreAsTheyWereMeasured) {
  Members members = {{"w1", MakeMember("w1")}, {"w2", MakeMember("w2")}, {"w3", MakeMember("w3")}};
  members.at("w1").links["w2"] = {true, 3e-3, 70e6};
  members.at("w1").links["w3"] = {.reachable = false};  // and w3 may well reach w1
  members.at("w3").links.erase(wire::kCoordinator);
  const partition::ClusterProfile cluster = Profile(members);
  std::map<std::pair<std::string, std::string>, partition::LinkProfile> links;
  for (const partition::LinkProfile& link : cluster.links)
    EXPECT_TRUE(links.emplace(std::pair(link.from, link.to), link).second);
  ASSERT_TRUE(links.contains({"w1", "w2"}));
  EXPECT_EQ(links[std::pair("w1", "w2")].round_trip_seconds, 3e-3);
  EXPECT_EQ(links[std::pair("w1", "w2")].bytes_per_second, 70e6);
  EXPECT_EQ(links[std::pair("w1", wire::kCoordinator)].bytes_per_second, 50e6);
  // Not measured: there is a way all the same.
  EXPECT_FALSE(links.contains({"w1", "w3"}));
  ASSERT_TRUE(links.contains({"w3", wire::kCoordinator}));
  EXPECT_GT(links[std::pair("w3", wire::kCoordinator)].bytes_per_second, 0);
}

// Also on one host, where the planner would otherwise count loopback.
TEST(ClusterProfileTest, WhereNeitherDialsTheCoordinatorRelays) {
  Members members = {{"w1", MakeMember("w1")}, {"w2", MakeMember("w2")}};
  members.at("w1").hello.host = members.at("w2").hello.host = "one";
  members.at("w1").links = {{wire::kCoordinator, {true, 1e-3, 60e6}}, {"w2", {.reachable = false}}};
  members.at("w2").links = {{wire::kCoordinator, {true, 2e-3, 30e6}}};
  const auto between = [&]() -> std::optional<partition::LinkProfile> {
    const partition::ClusterProfile cluster = Profile(members);
    for (const partition::LinkProfile& link : cluster.links)
      if (link.from == "w1" && link.to == "w2") return link;
    return std::nullopt;
  };
  EXPECT_FALSE(between().has_value());  // w2 has not tried
  members.at("w2").links["w1"] = {.reachable = false};
  ASSERT_TRUE(between().has_value());
  EXPECT_TRUE(between()->relayed);
  EXPECT_NEAR(between()->round_trip_seconds, 3e-3, 0.3e-3);
  EXPECT_NEAR(between()->bytes_per_second, 20e6, 1);
  members.at("w2").links.erase("w1");
  members.at("w1").hello.addresses.clear();  // and nobody could
  EXPECT_TRUE(between().has_value());
}

TEST(ClusterProfileTest, MoreDevicesThanThePlannerTakes) {
  Members members;
  for (int i = 0; i < partition::kMaxDevices + 3; ++i) {
    const std::string id = "w" + std::to_string(100 + i);
    members.emplace(id, MakeMember(id));
    members.at(id).links["w100"] = {true, 1e-3, 1e8};
  }
  members.at("w100").links.erase("w100");
  EXPECT_EQ(Profile(members).devices.size(), partition::kMaxDevices);
}

// Absurd numbers of one worker must not make the planner refuse the whole cluster: some file
// systems say that they are boundless, and any worker may lie.
TEST(ClusterProfileTest, BoundsWhatOneWorkerMeasures) {
  Members members = {{"w1", MakeMember("w1")}, {"w2", MakeMember("w2")}};
  Member& liar = members.at("w1");
  liar.heartbeat.disk_free_bytes = std::numeric_limits<int64_t>::max();
  liar.heartbeat.load = 7;
  liar.heartbeat.free_memory_bytes = {-1};
  liar.heartbeat.held_memory_bytes = {std::numeric_limits<int64_t>::max()};
  liar.links[wire::kCoordinator] = {true, 1e9, 0.01};
  liar.links["w2"] = {true, 0, 1e300};
  EXPECT_EQ(Profile(members).devices.size(), 2);
  EXPECT_EQ(Profile(members).links.size(), 3);
}

// One lying profile must not make the planner refuse all others.
TEST(HelloCheckTest, RefusesWhatThePlannerWould) {
  const wire::WorkerHello good = MakeMember("w1").hello;
  const auto refused = [&](auto change) {
    wire::WorkerHello hello = good;
    change(hello);
    return CheckHello(hello).code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_FALSE(refused([](wire::WorkerHello&) {}));
  EXPECT_TRUE(refused([](wire::WorkerHello& h) { h.worker = ""; }));
  EXPECT_TRUE(refused([](wire::WorkerHello& h) { h.worker = wire::kCoordinator; }));
  EXPECT_TRUE(refused([](wire::WorkerHello& h) { h.devices.clear(); }));
  EXPECT_TRUE(refused([](wire::WorkerHello& h) { h.devices.push_back(h.devices[0]); }));
  EXPECT_TRUE(refused([](wire::WorkerHello& h) { h.disk_free_bytes = -1; }));
  EXPECT_TRUE(refused([](wire::WorkerHello& h) { h.host = "a\nb"; }));
  for (const double rate : {kNaN, -1.0, 1e300}) {
    EXPECT_TRUE(refused([&](wire::WorkerHello& h) {
      h.devices[0].rates[0].decode_bytes_per_second = rate;
    })) << rate;
    EXPECT_TRUE(refused([&](wire::WorkerHello& h) {
      h.devices[0].rates[1].prefill_operations_per_second = rate;
    })) << rate;
    EXPECT_TRUE(refused([&](wire::WorkerHello& h) { h.devices[0].step_overhead_seconds = rate; }))
        << rate;
    EXPECT_TRUE(refused([&](wire::WorkerHello& h) { h.devices[0].layer_overhead_seconds = rate; }))
        << rate;
  }
  EXPECT_TRUE(refused([](wire::WorkerHello& h) { h.devices[0].memory_bytes = -1; }));
  EXPECT_TRUE(refused([](wire::WorkerHello& h) { h.devices[0].held_memory_bytes = -1; }));
  EXPECT_TRUE(refused([](wire::WorkerHello& h) { h.devices[0].memory_limit_bytes = -1; }));
  EXPECT_TRUE(refused([](wire::WorkerHello& h) {
    h.devices[0].memory_bytes = h.devices[0].free_memory_bytes =
        std::numeric_limits<int64_t>::max();
  }));
}

}  // namespace
}  // namespace potluck::coordinator
