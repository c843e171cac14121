#include "partition/shortage.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partition/amounts.h"
#include "partition/pipeline_search.h"

namespace potluck::partition {
namespace {

constexpr int64_t kContextStep = 256;
constexpr int64_t kMachineStepBytes = int64_t{256} << 20;

// What all eligible devices may give together.
int64_t CapacityOfAll(const CostModel& model) {
  std::vector<int> sizes(model.num_pools(), 0);
  for (int number = 0; number < model.num_devices(); ++number) ++sizes[model.pool(number)];
  int64_t bytes = 0;
  for (int number = 0; number < model.num_devices(); ++number) {
    // With one device of a pool it may have the whole of it; together they have as much.
    bytes += model.Capacity(number, sizes[model.pool(number)]);
  }
  return bytes;
}

// The smallest number of steps in [1, most] for which `fits` holds, given that more never hurts; 0
// for none.
template <typename Predicate>
int64_t Least(int64_t most, const Predicate& fits) {
  if (most < 1 || !fits(most)) return 0;
  int64_t low = 1, high = most;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    fits(middle) ? high = middle : low = middle + 1;
  }
  return low;
}

// Free memory of one more machine, well connected, with which it would fit; 0 where none would do.
int64_t AnotherMachine(const ClusterProfile& cluster, const InstanceWish& wish,
                       const Occupancy& others) {
  if (cluster.devices.size() >= kMaxDevices) return 0;
  ClusterProfile larger = cluster;
  DeviceProfile device{.id = "another machine",
                       .worker_id = "another machine",
                       .name = "another machine",
                       .host_id = "another machine"};
  device.prefill_operations_per_second.fill(1e12);
  device.decode_bytes_per_second.fill(1e10);
  larger.devices.push_back(device);
  larger.links.push_back({.from = cluster.coordinator_id,
                          .to = device.worker_id,
                          .round_trip_seconds = 1e-3,
                          .bytes_per_second = 1e8});
  const StageMemory memory(wish);
  const int64_t whole = memory.TotalOf(0, wish.model.num_layers());
  const auto most = static_cast<int64_t>(std::ceil(static_cast<double>(whole) / kMemoryShare /
                                                   static_cast<double>(kMachineStepBytes)));
  const auto fits = [&](int64_t steps) {
    DeviceProfile& machine = larger.devices.back();
    machine.free_memory_bytes = machine.total_memory_bytes = steps * kMachineStepBytes;
    return Fits(larger, wish, others);
  };
  return Least(most + 1, fits) * kMachineStepBytes;
}

std::vector<std::string> WhatWouldFit(const ClusterProfile& cluster, const InstanceWish& wish,
                                      const Occupancy& others) {
  std::vector<std::string> ways;
  if (const int64_t context = LargestContext(cluster, wish, others, wish.context_length - 1))
    ways.push_back(absl::StrCat("a context of ", context, " tokens (--ctx)"));
  InstanceWish other = wish;
  const auto fewer = [&](int64_t removed) {
    other.parallel = wish.parallel - removed;
    return Fits(cluster, other, others);
  };
  if (const int64_t removed = Least(wish.parallel - 1, fewer))
    ways.push_back(absl::StrCat(wish.parallel - removed, " at once (--parallel)"));
  other = wish;
  other.kv_dtype = kernels::DType::kQ8_0;
  if (wish.kv_dtype != other.kv_dtype && wish.model.head_dim % 32 == 0 &&
      Fits(cluster, other, others)) {
    ways.push_back("keys and values in q8 (--kv-type q8)");
  }
  if (const int64_t bytes = AnotherMachine(cluster, wish, others))
    ways.push_back(absl::StrCat("another machine with ", Bytes(bytes), " of free memory"));
  return ways;
}

}  // namespace

bool Fits(const ClusterProfile& cluster, const InstanceWish& wish, const Occupancy& others,
          const std::string& without_worker) {
  const Eligibility eligible = EligibleDevices(cluster, wish, others, without_worker);
  const CostModel model(cluster, wish, others, eligible.devices);
  return !FindPipeline(model, {.any = true}).slices.empty();
}

int64_t LargestContext(const ClusterProfile& cluster, const InstanceWish& wish,
                       const Occupancy& others, int64_t most) {
  InstanceWish smaller = wish;
  const int64_t steps = most / kContextStep;
  const auto fits = [&](int64_t removed) {
    smaller.context_length = (steps + 1 - removed) * kContextStep;
    return Fits(cluster, smaller, others);
  };
  const int64_t removed = Least(steps, fits);
  return removed == 0 ? 0 : (steps + 1 - removed) * kContextStep;
}

int64_t MissingBytes(const ClusterProfile& cluster, const InstanceWish& wish,
                     const Occupancy& others, const std::string& without_worker) {
  const Eligibility eligible = EligibleDevices(cluster, wish, others, without_worker);
  const CostModel model(cluster, wish, others, eligible.devices);
  return model.memory().TotalOf(0, model.num_layers()) - CapacityOfAll(model);
}

absl::Status ExplainShortage(const ClusterProfile& cluster, const InstanceWish& wish,
                             const Occupancy& others, const Eligibility& eligible) {
  const CostModel model(cluster, wish, others, eligible.devices);
  const StageBytes need = model.memory().Of(0, model.num_layers());
  if (cluster.devices.empty()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there is no worker that could hold ", wish.model.name, ": it needs ",
                     Bytes(need.total()), "; `potluck join-code` shows how a machine joins"));
  }
  const int64_t capacity = CapacityOfAll(model);
  std::string message = absl::StrCat(
      wish.model.name, " does not fit: with a context of ", wish.context_length, " tokens, ",
      wish.parallel, " at once, it needs ", Bytes(need.total()), " (weights ", Bytes(need.weights),
      ", keys and values ", Bytes(need.kv), ", buffers ", Bytes(need.activations), "), and ");
  if (eligible.devices.empty()) {
    absl::StrAppend(&message, "no device may take a layer of it");
    std::vector<std::string> reasons;
    for (const LeftOut& left_out : eligible.left_out) {
      if (reasons.size() < 4)
        reasons.push_back(absl::StrCat(left_out.device_id, ": ", left_out.reason));
    }
    if (!reasons.empty()) absl::StrAppend(&message, " (", absl::StrJoin(reasons, "; "), ")");
  } else {
    absl::StrAppend(&message, "its devices may give ", Bytes(capacity),
                    " (80% of what is free, less what other models hold)");
    absl::StrAppend(&message,
                    capacity < need.total()
                        ? absl::StrCat(": ", Bytes(need.total() - capacity), " are missing")
                        : std::string(": enough in sum, but no split over them fits"));
  }
  const std::vector<std::string> ways = WhatWouldFit(cluster, wish, others);
  if (!ways.empty())
    absl::StrAppend(&message, ". It would fit with ", absl::StrJoin(ways, ", or with "));
  return absl::ResourceExhaustedError(message);
}

}  // namespace potluck::partition
