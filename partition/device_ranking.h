// Which devices of many are likely to be in the best pipeline, by several measures: the exact
// search is asked about those that rank highest.
#pragma once

#include <vector>

#include "partition/split_tables.h"

namespace potluck::partition {

// Orders of all device numbers, the most promising first:
// - by the seconds per layer of as many layers as it can hold, the overhead and its nearest ways in
//   and out included: what matters where layers are spread over devices;
// - by the seconds of the whole model with the ways from and to the coordinator: what matters where
//   memory does not;
// - by how many layers it can hold: what matters where memory is short.
std::vector<std::vector<int>> RankDevices(const SplitTables& tables);

// The last of these orders.
std::vector<int> MostHoldingFirst(const SplitTables& tables);
// The most layers that a device can hold.
int64_t LayersHeld(const SplitTables& tables, int device);

}  // namespace potluck::partition
