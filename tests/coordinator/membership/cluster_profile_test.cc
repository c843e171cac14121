// What members say of themselves, as the planner gets it.
#include "coordinator/membership/cluster_profile.h"

#include <gtest/gtest.h>

#include <limits>

#include "coordinator/membership/hello_check.h"

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

partition::ClusterProfile Profile(const Members& members,
                                  const std::map<std::string, int64_t>& held = {}) {
  const partition::ClusterProfile cluster = MakeClusterProfile(members, "house", held, {});
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

// Memory of stages that run counts as free for the planner, but never more than there was.
TEST(ClusterProfileTest, MemoryOfStagesIsFree) {
  Members members = {{"w1", MakeMember("w1")}};
  members.at("w1").heartbeat.free_memory_bytes = {7 * kGiB};
  EXPECT_EQ(Profile(members, {{"w1/cpu", 4 * kGiB}}).devices[0].free_memory_bytes, 11 * kGiB);
  EXPECT_EQ(Profile(members, {{"w1/cpu", 9 * kGiB}}).devices[0].free_memory_bytes, 12 * kGiB);
  EXPECT_EQ(Profile(members, {{"w2/cpu", 4 * kGiB}}).devices[0].free_memory_bytes, 7 * kGiB);
  members.at("w1").heartbeat = {};
  EXPECT_EQ(Profile(members).devices[0].free_memory_bytes, 12 * kGiB);
  EXPECT_EQ(Profile(members).devices[0].free_disk_bytes, 90 * kGiB);
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
  members.at("w1").links["w3"] = {.reachable = false};
  members.at("w3").links.erase(wire::kCoordinator);
  const partition::ClusterProfile cluster = Profile(members);
  std::map<std::pair<std::string, std::string>, partition::LinkProfile> links;
  for (const partition::LinkProfile& link : cluster.links)
    EXPECT_TRUE(links.emplace(std::pair(link.from, link.to), link).second);
  ASSERT_TRUE(links.contains({"w1", "w2"}));
  EXPECT_EQ(links[std::pair("w1", "w2")].round_trip_seconds, 3e-3);
  EXPECT_EQ(links[std::pair("w1", "w2")].bytes_per_second, 70e6);
  EXPECT_EQ(links[std::pair("w1", wire::kCoordinator)].bytes_per_second, 50e6);
  // Not reached directly: the planner relays. Not measured: there is a way all the same.
  EXPECT_FALSE(links.contains({"w1", "w3"}));
  ASSERT_TRUE(links.contains({"w3", wire::kCoordinator}));
  EXPECT_GT(links[std::pair("w3", wire::kCoordinator)].bytes_per_second, 0);
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
  EXPECT_TRUE(refused([](wire::WorkerHello& h) {
    h.devices[0].memory_bytes = h.devices[0].free_memory_bytes =
        std::numeric_limits<int64_t>::max();
  }));
}

}  // namespace
}  // namespace potluck::coordinator
