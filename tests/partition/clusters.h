// Clusters and models for the planner's tests: small, round numbers that a reader can follow.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "partition/planner.h"

namespace potluck::partition {

inline constexpr int64_t kMiB = int64_t{1} << 20;
inline constexpr int64_t kGiB = int64_t{1} << 30;

// A device of that decode bandwidth and free memory, on a worker and a host of its own; its prefill
// rate is a hundred operations per byte of bandwidth, its overheads are none.
DeviceProfile MakeDevice(const std::string& id, double bytes_per_second, int64_t free_bytes);
LinkProfile MakeLink(const std::string& from, const std::string& to, double round_trip_seconds,
                     double bytes_per_second);
// All devices, linked with each other and the coordinator by equal links.
ClusterProfile MakeCluster(std::vector<DeviceProfile> devices, double round_trip_seconds = 1e-3,
                           double bytes_per_second = 100e6);
// Layers of `layer_bytes` each in q8_0, an embedding and a head of `end_bytes` each.
ModelShape MakeModel(int64_t num_layers, int64_t layer_bytes, int64_t end_bytes = 0);
// `model` for one stream with a context of 512, no standby copies.
InstanceWish MakeWish(ModelShape model);

// Random numbers within a factor of 30, all links different; some devices share a host, some links
// are missing, now and then a device is too small for anything.
ClusterProfile RandomCluster(std::mt19937_64& random, int num_devices);
ModelShape RandomModel(std::mt19937_64& random, int64_t num_layers);

// The cost model of all eligible devices, and the plan as slices of it.
struct Planned {
  Planned(const ClusterProfile& cluster, const InstanceWish& wish);
  std::vector<Slice> SlicesOf(const InstancePlan& plan) const;

  const ClusterProfile& cluster;
  const InstanceWish& wish;
  Occupancy others;
  std::vector<int> devices;
  CostModel model;
};

}  // namespace potluck::partition
