#include "partition/network.h"

#include <algorithm>
#include <map>

namespace potluck::partition {
namespace {

constexpr double kLoopbackRoundTripSeconds = 50e-6;
constexpr double kLoopbackBytesPerSecond = 1e9;
// Copies within a process.
constexpr double kHandOverBytesPerSecond = 5e9;

Path PathOf(double round_trip_seconds, double bytes_per_second, bool relayed) {
  return {.reachable = true,
          .relayed = relayed,
          .latency_seconds = round_trip_seconds / 2 + kHopOverheadSeconds,
          .bytes_per_second = bytes_per_second};
}

// Stored and forwarded: the times of both hops add up.
Path Through(const Path& first, const Path& second) {
  if (!first.reachable || !second.reachable) return {};
  return {.reachable = true,
          .relayed = true,
          .latency_seconds = first.latency_seconds + second.latency_seconds,
          .bytes_per_second = 1 / (1 / first.bytes_per_second + 1 / second.bytes_per_second)};
}

}  // namespace

Network::Network(const ClusterProfile& cluster) {
  std::map<std::string, std::string> host_of = {
      {cluster.coordinator_id, cluster.coordinator_host_id}};
  for (const DeviceProfile& device : cluster.devices) host_of[device.worker_id] = device.host_id;
  for (const auto& [id, host] : host_of) ids_.push_back(id);
  const size_t n = ids_.size();
  paths_.resize(n * n);
  std::vector<bool> known(n * n, false);
  for (const bool backwards : {false, true}) {
    for (const LinkProfile& link : cluster.links) {
      const size_t from = IndexOf(backwards ? link.to : link.from);
      const size_t to = IndexOf(backwards ? link.from : link.to);
      if (known[from * n + to]) continue;
      known[from * n + to] = true;
      if (!link.reachable) continue;
      At(from, to) = PathOf(link.round_trip_seconds, link.bytes_per_second, link.relayed);
    }
  }
  const size_t coordinator = IndexOf(cluster.coordinator_id);
  // Those of the coordinator first: relayed ways are made of them.
  for (const bool relay : {false, true}) {
    for (size_t from = 0; from < n; ++from) {
      for (size_t to = 0; to < n; ++to) {
        if (known[from * n + to]) continue;
        const std::string& host = host_of[ids_[from]];
        if (from == to) {
          At(from, to) = {.reachable = true,
                          .latency_seconds = kHandOverSeconds,
                          .bytes_per_second = kHandOverBytesPerSecond};
        } else if (!host.empty() && host == host_of[ids_[to]]) {
          At(from, to) = PathOf(kLoopbackRoundTripSeconds, kLoopbackBytesPerSecond, false);
        } else if (relay) {
          At(from, to) = Through(At(from, coordinator), At(coordinator, to));
        }
      }
    }
  }
}

size_t Network::IndexOf(const std::string& id) const {
  return std::ranges::lower_bound(ids_, id) - ids_.begin();
}

const Path& Network::Between(const std::string& from, const std::string& to) const {
  return paths_[IndexOf(from) * ids_.size() + IndexOf(to)];
}

}  // namespace potluck::partition
