// Where each value of a graph lies in one arena, decided once for all steps: values whose lives do
// not overlap share a slot, chosen by comparing their symbolic sizes.
#pragma once

#include <cstdint>
#include <vector>

#include "model/graph/graph.h"
#include "model/graph/symbolic.h"

namespace potluck::model {

struct MemoryPlan {
  std::vector<int64_t> offset_bytes;  // by ValueId; multiples of 64
  int64_t arena_bytes = 0;
};

// `largest`: the most tokens and outputs that a step may have. Values that a node reads and values
// that it writes never share memory, but for in-place operations. The graph's hidden and logits
// values live to the end.
MemoryPlan PlanMemory(const Graph& graph, const Symbols& largest);

}  // namespace potluck::model
