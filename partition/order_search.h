// The heuristic for many devices: for one order of the devices, the cheapest pipeline that visits
// some of them in that order is found exactly, in O(n^2 L); the order itself is improved step by
// step.
#pragma once

#include <cstdint>
#include <vector>

#include "partition/split_tables.h"

namespace potluck::partition {

struct OrderGoal {
  double longest_seconds = kNever;  // of a stage
  // Taken off the price of each device that is used, by device number; empty: nothing is. A large
  // one makes the pipeline use a device wherever it can.
  std::vector<double> bonus_seconds;
  bool any = false;  // the first pipeline found will do
};

// Larger than any pipeline's time, so that a bonus of it decides before time does.
inline constexpr double kDecisiveBonusSeconds = 1e4;

// The cheapest pipeline along `order` (device numbers); empty where there is none.
std::vector<Slice> BestAlongOrder(const SplitTables& tables, const std::vector<int>& order,
                                  const OrderGoal& goal);

// From several orders (fastest first, nearest first, as numbered) and changes of them, as long as
// they help: a device to another place, two exchanged, a part turned round. Ends after about
// kMostOrderSteps steps of computing. `devices`: those to consider.
inline constexpr int64_t kMostOrderSteps = 40'000'000;
std::vector<Slice> BestOverOrders(const SplitTables& tables, const std::vector<int>& devices,
                                  const OrderGoal& goal, std::vector<int>& best_order);

}  // namespace potluck::partition
