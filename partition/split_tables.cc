#include "partition/split_tables.h"

#include <algorithm>

namespace potluck::partition {

SplitTables MakeSplitTables(const CostModel& model, int64_t sequences, std::vector<int> sharers,
                            bool in_flight) {
  const StepWork work = model.Decode(sequences);
  const double hop_bytes = model.HopBytes(work);
  const double id_bytes = model.IdBytes(work);
  const auto seconds_of = [](const Path& path, double seconds) {
    return path.reachable ? seconds : kNever;
  };
  SplitTables tables{.num_layers = model.num_layers(), .memory = &model.memory()};
  for (int device = 0; device < model.num_devices(); ++device) {
    const int in_pool = sharers[model.pool(device)];
    tables.pool.push_back(model.pool(device));
    tables.costs.push_back(model.CostsOf(device, work, in_flight ? in_pool : 1, /*moving=*/true));
    tables.capacity_bytes.push_back(model.Capacity(device, in_pool));
    const Path& enter = model.Enter(device);
    const Path& leave = model.Leave(device);
    tables.enter_seconds.push_back(seconds_of(enter, CostModel::EnterSeconds(enter, id_bytes)));
    tables.leave_seconds.push_back(seconds_of(leave, leave.seconds(id_bytes)));
    for (int to = 0; to < model.num_devices(); ++to) {
      const Path& hop = model.Hop(device, to);
      tables.hop_seconds.push_back(seconds_of(hop, hop.seconds(hop_bytes)));
      tables.link_seconds.push_back(seconds_of(hop, hop.transfer_seconds(hop_bytes)));
    }
  }
  tables.sharers = std::move(sharers);
  return tables;
}

SplitCost CostOf(const SplitTables& tables, std::span<const Slice> slices) {
  SplitCost cost{.sum = tables.enter_seconds[slices.front().device] +
                        tables.leave_seconds[slices.back().device]};
  for (size_t i = 0; i < slices.size(); ++i) {
    const double stage = tables.costs[slices[i].device].Of(slices[i].first, slices[i].end);
    cost.sum += stage;
    cost.slowest = std::max(cost.slowest, stage);
    if (i == 0) continue;
    cost.sum += tables.Hop(slices[i - 1].device, slices[i].device);
    cost.slowest = std::max(cost.slowest, tables.Link(slices[i - 1].device, slices[i].device));
  }
  return cost;
}

bool StageFits(const SplitTables& tables, const Slice& slice, double longest_seconds) {
  return tables.memory->TotalOf(slice.first, slice.end) <= tables.capacity_bytes[slice.device] &&
         tables.costs[slice.device].Of(slice.first, slice.end) <= longest_seconds;
}

std::vector<int64_t> FirstLayers(const SplitTables& tables, int device, double longest_seconds) {
  std::vector<int64_t> first_layers(tables.num_layers + 1, 0);
  int64_t first = 1;
  for (int64_t end = 1; end <= tables.num_layers; ++end) {
    // The last stage has the head but keeps no activations: its bound may lie before the others'.
    if (end == tables.num_layers) first = 1;
    while (first < end && !StageFits(tables, {device, first, end}, longest_seconds)) ++first;
    first_layers[end] = std::min(first, end);
  }
  return first_layers;
}

}  // namespace potluck::partition
