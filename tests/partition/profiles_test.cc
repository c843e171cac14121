// Profiles come from peers: whatever they say, the answer is a plan or one clear line.
#include "partition/profiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "partition/layer_wishes.h"
#include "partition/network.h"
#include "tests/partition/clusters.h"

namespace potluck::partition {
namespace {

using testing::HasSubstr;

std::string Text(const absl::Status& status) { return std::string(status.message()); }

ClusterProfile Good() {
  return MakeCluster({MakeDevice("a", 10e9, 2 * kGiB), MakeDevice("b", 5e9, 4 * kGiB)});
}

template <typename Change>
std::string Refusal(Change change) {
  ClusterProfile cluster = Good();
  change(cluster);
  const absl::Status status = Validate(cluster);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Text(status).find('\n'), std::string::npos);
  // The planner does not get further.
  const InstanceWish wish = MakeWish(MakeModel(2, kMiB));
  EXPECT_EQ(PlanInstance(cluster, wish, {}).status(), status);
  return Text(status);
}

TEST(ProfilesTest, GoodOnesPass) {
  EXPECT_TRUE(Validate(Good()).ok());
  EXPECT_TRUE(Validate({}).ok());
}

TEST(ProfilesTest, NumbersThatAreNone) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double bad : {kNan, kInfinity, -kInfinity, -1.0, 1e30}) {
    SCOPED_TRACE(bad);
    EXPECT_THAT(Refusal([&](auto& c) { c.devices[1].decode_bytes_per_second[3] = bad; }),
                HasSubstr("device b says that its decode bandwidth for q4_0"));
    EXPECT_THAT(Refusal([&](auto& c) { c.devices[0].prefill_operations_per_second[7] = bad; }),
                HasSubstr("device a says that its prefill rate for q8_0"));
    EXPECT_THAT(Refusal([&](auto& c) { c.devices[0].layer_overhead_seconds = bad; }),
                HasSubstr("overhead per layer"));
    EXPECT_THAT(Refusal([&](auto& c) { c.devices[0].step_overhead_seconds = bad; }),
                HasSubstr("overhead per step"));
    EXPECT_THAT(Refusal([&](auto& c) { c.devices[0].load = bad; }), HasSubstr("load"));
    EXPECT_THAT(Refusal([&](auto& c) { c.devices[0].load_bytes_per_second = bad; }),
                HasSubstr("loading speed"));
    EXPECT_THAT(Refusal([&](auto& c) { c.links[0].round_trip_seconds = bad; }),
                HasSubstr("round trip"));
    EXPECT_THAT(Refusal([&](auto& c) { c.links[0].bytes_per_second = bad; }),
                HasSubstr("bandwidth"));
  }
  EXPECT_THAT(Refusal([](auto& c) { c.links[0].bytes_per_second = 0; }), HasSubstr("bandwidth"));
  for (const int64_t bad :
       {int64_t{-1}, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    EXPECT_THAT(Refusal([&](auto& c) { c.devices[0].free_memory_bytes = bad; }),
                HasSubstr("free memory"));
    EXPECT_THAT(Refusal([&](auto& c) { c.devices[0].total_memory_bytes = bad; }),
                HasSubstr("total memory"));
    EXPECT_THAT(Refusal([&](auto& c) { c.devices[0].memory_limit_bytes = bad; }),
                HasSubstr("memory limit"));
    EXPECT_THAT(Refusal([&](auto& c) { c.devices[0].free_disk_bytes = bad; }),
                HasSubstr("free disk"));
  }
  EXPECT_THAT(Refusal([](auto& c) { c.devices[0].free_memory_bytes = 5 * kGiB; }),
              HasSubstr("bytes of memory are free"));
  EXPECT_THAT(Refusal([](auto& c) {
                c.devices[0].decode_bytes_per_second.fill(0);
                c.devices[0].prefill_operations_per_second.fill(0);
              }),
              HasSubstr("names no format"));
}

TEST(ProfilesTest, IdsAndEnds) {
  EXPECT_THAT(Refusal([](auto& c) { c.devices[1].id = "a"; }),
              HasSubstr("two devices have the id a"));
  EXPECT_THAT(Refusal([](auto& c) { c.devices[1].id = ""; }), HasSubstr("has no id"));
  EXPECT_THAT(Refusal([](auto& c) { c.devices[1].id = "a\nb"; }), HasSubstr("printable"));
  EXPECT_THAT(Refusal([](auto& c) { c.devices[1].name = std::string(300, 'x'); }),
              HasSubstr("printable"));
  EXPECT_THAT(Refusal([](auto& c) { c.devices[1].host_id = ""; }), HasSubstr("host"));
  EXPECT_THAT(Refusal([](auto& c) { c.devices[1].worker_id = c.coordinator_id; }),
              HasSubstr("coordinator's id"));
  EXPECT_THAT(Refusal([](auto& c) { c.devices[1].worker_id = "a"; }),
              HasSubstr("name different hosts"));
  EXPECT_THAT(Refusal([](auto& c) { c.links[0].to = "nobody"; }), HasSubstr("nobody"));
  EXPECT_THAT(Refusal([](auto& c) { c.links[0].to = c.links[0].from; }), HasSubstr("loop"));
  EXPECT_THAT(Refusal([](auto& c) { c.links.push_back(c.links[0]); }), HasSubstr("listed twice"));
  EXPECT_THAT(Refusal([](auto& c) {
                for (int i = 0; i < 100; ++i)
                  c.devices.push_back(MakeDevice("x" + std::to_string(i), 1e9, kGiB));
              }),
              HasSubstr("at most 64"));
  EXPECT_THAT(Refusal([](auto& c) { c.links.resize(100000); }), HasSubstr("links"));
}

TEST(NetworkTest, WaysThatWereNotMeasured) {
  ClusterProfile cluster = Good();
  cluster.links = {MakeLink(cluster.coordinator_id, "a", 2e-3, 100e6),
                   MakeLink("b", cluster.coordinator_id, 4e-3, 25e6)};
  const Network network(cluster);
  // One direction holds for both.
  EXPECT_DOUBLE_EQ(network.Between("a", "coordinator").latency_seconds, 1e-3 + kHopOverheadSeconds);
  // Through the coordinator: both hops, one after the other.
  const Path& relayed = network.Between("a", "b");
  EXPECT_TRUE(relayed.reachable && relayed.relayed);
  EXPECT_DOUBLE_EQ(relayed.latency_seconds, 3e-3 + 2 * kHopOverheadSeconds);
  EXPECT_DOUBLE_EQ(relayed.bytes_per_second, 20e6);
  EXPECT_DOUBLE_EQ(network.Between("a", "a").latency_seconds, kHandOverSeconds);

  cluster.devices[1].host_id = cluster.devices[0].host_id;
  EXPECT_FALSE(Network(cluster).Between("a", "b").relayed);  // over loopback
  cluster = Good();
  cluster.links = {MakeLink(cluster.coordinator_id, "a", 2e-3, 100e6)};
  EXPECT_FALSE(Network(cluster).Between("a", "b").reachable);
  cluster.links.push_back({.from = "a", .to = "b", .reachable = false});
  cluster.links.push_back(MakeLink(cluster.coordinator_id, "b", 2e-3, 100e6));
  EXPECT_FALSE(Network(cluster).Between("b", "a").reachable);  // measured: there is none
}

TEST(LayerWishesTest, WhatAPersonMayWrite) {
  EXPECT_THAT(*ParseLayerWishes("w1=0-11,w2=12-21"),
              testing::ElementsAre(LayerWish{"w1", 0, 11}, LayerWish{"w2", 12, 21}));
  EXPECT_THAT(*ParseLayerWishes("a=b=3"), testing::ElementsAre(LayerWish{"a=b", 3, 3}));
  for (const char* text :
       {"", "w1", "w1=", "=3", "w1=3-", "w1=-3", "w1=x", "w1=1-2-3", "w1= 1", "w1=1,", ",",
        "w1=0x3", "w1=99999999999999999999", "w1=5-4", "w1=1,w1=2"}) {
    EXPECT_EQ(ParseLayerWishes(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace potluck::partition
