#include "partition/device_ranking.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace potluck::partition {
namespace {

// The longest range of layers that the device can hold, ends included.
Slice LongestStage(const SplitTables& tables, int device) {
  const std::vector<int64_t> first_layers = FirstLayers(tables, device, kNever);
  Slice longest{device, 0, 0};
  for (int64_t end = 1; end <= tables.num_layers; ++end) {
    const bool from_the_start = StageFits(tables, {device, 0, end}, kNever);
    const int64_t first = from_the_start ? 0 : first_layers[end];
    if (end - first > longest.end - longest.first) longest = {device, first, end};
  }
  return longest;
}

// Of the nearest peer or the coordinator, in and out.
double NearestWays(const SplitTables& tables, int device) {
  double in = tables.enter_seconds[device], out = tables.leave_seconds[device];
  for (int other = 0; other < tables.num_devices(); ++other) {
    if (other == device) continue;
    in = std::min(in, tables.Hop(other, device));
    out = std::min(out, tables.Hop(device, other));
  }
  return in + out;
}

double SecondsPerLayer(const SplitTables& tables, int device) {
  const Slice stage = LongestStage(tables, device);
  if (stage.first == stage.end) return kNever;
  const double seconds =
      tables.costs[device].Of(stage.first, stage.end) + NearestWays(tables, device);
  return seconds / static_cast<double>(stage.end - stage.first);
}

std::vector<int> RankBy(const SplitTables& tables, const std::function<double(int)>& badness) {
  std::vector<double> of_device(tables.num_devices());
  std::vector<int> order(tables.num_devices());
  std::iota(order.begin(), order.end(), 0);
  for (const int device : order) of_device[device] = badness(device);
  std::ranges::stable_sort(order, {}, [&](int device) { return of_device[device]; });
  return order;
}

}  // namespace

std::vector<std::vector<int>> RankDevices(const SplitTables& tables) {
  const auto whole = [&](int device) {
    return tables.enter_seconds[device] + tables.costs[device].Of(0, tables.num_layers) +
           tables.leave_seconds[device];
  };
  return {RankBy(tables, [&](int device) { return SecondsPerLayer(tables, device); }),
          RankBy(tables, whole), MostHoldingFirst(tables)};
}

std::vector<int> MostHoldingFirst(const SplitTables& tables) {
  return RankBy(tables,
                [&](int device) { return -static_cast<double>(LayersHeld(tables, device)); });
}

int64_t LayersHeld(const SplitTables& tables, int device) {
  const Slice stage = LongestStage(tables, device);
  return stage.end - stage.first;
}

}  // namespace potluck::partition
