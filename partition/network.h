// The way that a message takes between two workers, or a worker and the coordinator.
#pragma once

#include <string>
#include <vector>

#include "partition/profiles.h"

namespace potluck::partition {

// What a hop costs beyond the wire: framing, encryption, waking the receiver. Ours (issue: a hop on
// loopback under 150 microseconds).
inline constexpr double kHopOverheadSeconds = 100e-6;
// Two devices of one worker hand over within a process.
inline constexpr double kHandOverSeconds = 10e-6;

struct Path {
  bool reachable = false;
  bool relayed = false;  // by the coordinator
  // Until the first byte is there, overhead included. Half a round trip.
  double latency_seconds = 0;
  double bytes_per_second = 1;

  double transfer_seconds(double bytes) const { return bytes / bytes_per_second; }
  double seconds(double bytes) const { return latency_seconds + transfer_seconds(bytes); }
};

// Where no link was measured: workers of one host are taken to talk over loopback, others through
// the coordinator where both reach it (both hops are counted), and otherwise not at all.
class Network {
 public:
  // The profile is valid.
  explicit Network(const ClusterProfile& cluster);

  // Worker ids, or the coordinator's.
  const Path& Between(const std::string& from, const std::string& to) const;

 private:
  size_t IndexOf(const std::string& id) const;
  Path& At(size_t from, size_t to) { return paths_[from * ids_.size() + to]; }

  std::vector<std::string> ids_;  // ascending
  std::vector<Path> paths_;       // (ids, ids)
};

}  // namespace potluck::partition
