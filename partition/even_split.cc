#include "partition/even_split.h"

#include <algorithm>

#include "partition/order_search.h"
#include "partition/split_tables.h"

namespace potluck::partition {
namespace {

constexpr double kSameSeconds = 1e-3;

SplitTables TablesFor(const CostModel& model, std::span<const Slice> slices) {
  std::vector<int> sharers(model.num_pools(), 0);
  for (const Slice& slice : slices) ++sharers[model.pool(slice.device)];
  for (int& in_pool : sharers) in_pool = std::max(in_pool, 1);
  return MakeSplitTables(model, /*sequences=*/1, std::move(sharers), /*in_flight=*/false);
}

}  // namespace

std::vector<Slice> EvenOut(const CostModel& model, std::vector<Slice> slices,
                           double highest_price) {
  const SplitTables tables = TablesFor(model, slices);
  std::vector<int> order;
  for (const Slice& slice : slices) order.push_back(slice.device);
  OrderGoal goal;
  goal.bonus_seconds.assign(model.num_devices(), kDecisiveBonusSeconds);
  double low = 0, high = CostOf(tables, slices).slowest;
  while (high - low > kSameSeconds * high) {
    goal.longest_seconds = (low + high) / 2;
    std::vector<Slice> more_even = BestAlongOrder(tables, order, goal);
    if (more_even.size() < slices.size() || model.Price(more_even) > highest_price) {
      low = goal.longest_seconds;
    } else {
      high = goal.longest_seconds;
      slices = std::move(more_even);
    }
  }
  return slices;
}

double SlowestSeconds(const CostModel& model, std::span<const Slice> slices) {
  return CostOf(TablesFor(model, slices), slices).slowest;
}

}  // namespace potluck::partition
