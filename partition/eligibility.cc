#include "partition/eligibility.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/text.h"
#include "partition/amounts.h"

namespace potluck::partition {
namespace {

// Every format that some stage of the model needs: weights, keys and values.
std::set<kernels::DType> FormatsOf(const InstanceWish& wish) {
  std::set<kernels::DType> formats = {wish.kv_dtype};
  const auto add = [&](const WeightWork& work) {
    if (work.held_bytes > 0) formats.insert(work.dtype);
  };
  add(wish.model.embedding);
  add(wish.model.head);
  for (const LayerShape& layer : wish.model.layers)
    for (const WeightWork& work : layer.weights) add(work);
  return formats;
}

int64_t LeastStageBytes(const StageMemory& memory, int64_t num_layers) {
  int64_t least = memory.TotalOf(0, 1);
  for (int64_t i = 1; i < num_layers; ++i) least = std::min(least, memory.TotalOf(i, i + 1));
  return least;
}

// Why the device may hold nothing, whatever its memory; empty where it may.
std::string Objection(const DeviceProfile& device, const std::set<kernels::DType>& formats,
                      const Network& network, const std::string& coordinator_id) {
  if (!device.reason.empty()) return device.reason;
  if (device.availability != Availability::kReady) return UnavailableReason(device.availability);
  if (device.load > kTooBusy) {
    return absl::StrFormat("it is busy with other things: %.0f%% of it are in use",
                           device.load * 100);
  }
  for (const kernels::DType format : formats) {
    if (device.decode_bytes_per_second[static_cast<int>(format)] > 0) continue;
    return absl::StrCat("its ", device.backend.empty() ? "backend" : device.backend,
                        " does not compute with ", ToAbsl(kernels::Traits(format).name));
  }
  if (!network.Between(coordinator_id, device.worker_id).reachable ||
      !network.Between(device.worker_id, coordinator_id).reachable) {
    return "there is no way between it and the coordinator";
  }
  return "";
}

}  // namespace

Eligibility EligibleDevices(const ClusterProfile& cluster, const InstanceWish& wish,
                            const Occupancy& others, const std::string& without_worker) {
  Eligibility result;
  const Network network(cluster);
  const std::set<kernels::DType> formats = FormatsOf(wish);
  std::vector<int> order;
  for (size_t i = 0; i < cluster.devices.size(); ++i) order.push_back(static_cast<int>(i));
  std::ranges::sort(order, {}, [&](int i) { return cluster.devices[i].id; });
  std::vector<int> willing;
  for (const int i : order) {
    const DeviceProfile& device = cluster.devices[i];
    if (device.worker_id == without_worker) continue;
    const std::string reason = Objection(device, formats, network, cluster.coordinator_id);
    if (reason.empty()) {
      willing.push_back(i);
    } else {
      result.left_out.push_back({device.id, device.worker_id, device.name, reason});
    }
  }
  const CostModel model(cluster, wish, others, willing);
  const int64_t least_bytes = LeastStageBytes(model.memory(), model.num_layers());
  for (int number = 0; number < model.num_devices(); ++number) {
    const int64_t capacity = model.Capacity(number, 1);
    if (capacity >= least_bytes) {
      result.devices.push_back(willing[number]);
      continue;
    }
    const DeviceProfile& device = model.device(number);
    result.left_out.push_back(
        {device.id, device.worker_id, device.name,
         absl::StrCat("it may give ", Bytes(capacity), " (80% of ", Bytes(device.free_memory_bytes),
                      " free, less what its owner keeps and other models hold), and a single layer "
                      "with its buffers needs ",
                      Bytes(least_bytes))});
  }
  return result;
}

}  // namespace potluck::partition
