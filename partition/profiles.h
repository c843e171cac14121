// What the planner knows of a cluster: its devices and the links between its workers, as measured
// when they joined. Profiles come from peers: Validate them before anything is computed with them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/dtype.h"

namespace potluck::partition {

// By storage format (kernels::DType); 0 where the device does not compute with it.
using FormatRates = std::array<double, kernels::kNumWeightDTypes>;

// Whether a device may be given layers now.
enum class Availability { kReady, kSuspect, kResting, kPaused, kLeaving };

struct DeviceProfile {
  std::string id;         // of this device alone: "desk", or "desk/opencl:0"
  std::string worker_id;  // the process that holds it; a worker may hold several devices
  std::string name;       // the worker's label, for people
  std::string host_id;    // the machine
  std::string backend;    // "cpu", "opencl", "cuda"
  std::string numerics_class;

  // A discrete GPU has memory and bandwidth of its own. All other devices of one host share the
  // host's memory, its bandwidth and its cores.
  bool own_memory = false;

  // Operations (two per multiply-add) of a long prompt, and bytes of weights and KV read while
  // decoding, alone on the machine.
  FormatRates prefill_operations_per_second{};
  FormatRates decode_bytes_per_second{};
  double layer_overhead_seconds = 0;  // per layer and step, beyond computing
  double step_overhead_seconds = 0;   // per step
  double load = 0;                    // share of the device that others use, 0 to 1

  int64_t total_memory_bytes = 0;
  // What is free, counting the memory of loaded instances as free: those are told to the planner.
  int64_t free_memory_bytes = 0;
  int64_t memory_limit_bytes = 0;  // what its owner lends; 0: no limit
  int64_t free_disk_bytes = 0;     // for copies of layers; one number for all devices of a worker
  double load_bytes_per_second = 300e6;  // weights from its disk into the device

  Availability availability = Availability::kReady;
  std::string reason;  // why it may have nothing where availability alone does not tell
};

// One direction. A link that is listed in one direction only holds for both.
struct LinkProfile {
  std::string from, to;  // worker ids, or ClusterProfile::coordinator_id
  double round_trip_seconds = 0;
  double bytes_per_second = 0;
  bool relayed = false;   // through the coordinator; the numbers are of the whole way
  bool reachable = true;  // false: neither directly nor through the coordinator
};

struct ClusterProfile {
  std::string coordinator_id = "coordinator";
  std::string coordinator_host_id;
  std::string coordinator_worker_id;  // that ends with the coordinator; empty: none
  std::vector<DeviceProfile> devices;
  std::vector<LinkProfile> links;
};

inline constexpr int kMaxDevices = 64;
// Beyond any hardware, and small enough that no sum of times or bytes overflows.
inline constexpr int64_t kMostProfileBytes = int64_t{1} << 50;
inline constexpr double kLeastPerSecond = 1, kMostPerSecond = 1e18;
inline constexpr double kLongestSeconds = 60;

// InvalidArgument, naming the device or link, for numbers that are NaN, negative or absurd, ids
// that are missing or double, devices of one worker on two hosts, links of unknown workers.
absl::Status Validate(const ClusterProfile& cluster);

// "suspect (not heard from for a while)": why no layers; empty where it may have them.
std::string UnavailableReason(Availability availability);

}  // namespace potluck::partition
