#include "model/graph/memory_plan.h"

#include <algorithm>
#include <limits>

namespace potluck::model {
namespace {

constexpr int64_t kAlignmentBytes = 64;

struct Life {
  int64_t first_write = std::numeric_limits<int64_t>::max();
  int64_t last_use = -1;
};

std::vector<Life> LivesOf(const Graph& graph) {
  std::vector<Life> lives(graph.values.size());
  const auto touch = [&](ValueId value, int64_t when) {
    lives[value].first_write = std::min(lives[value].first_write, when);
    lives[value].last_use = std::max(lives[value].last_use, when);
  };
  const auto num_nodes = static_cast<int64_t>(graph.nodes.size());
  if (graph.input != kNoId) touch(graph.input, 0);
  for (int64_t i = 0; i < num_nodes; ++i) {
    const ValueUses uses = UsesOf(graph.nodes[i].op);
    for (const ValueId value : uses.reads) touch(value, i);
    for (const ValueId value : uses.writes) touch(value, i);
  }
  for (const ValueId value : {graph.hidden, graph.final_hidden, graph.logits}) {
    if (value != kNoId) lives[value].last_use = num_nodes;
  }
  return lives;
}

struct Slot {
  Expression bytes;
  int64_t busy_until = -1;  // index of the last node that uses it
};

// A free slot that is always large enough, else a free one that the value can outgrow, else a new
// one.
size_t ChooseSlot(std::vector<Slot>& slots, const Expression& bytes, int64_t from,
                  const Symbols& largest) {
  size_t growable = slots.size();
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].busy_until >= from) continue;
    if (AlwaysAtMost(bytes, slots[i].bytes, largest)) return i;
    if (growable == slots.size() && AlwaysAtMost(slots[i].bytes, bytes, largest)) growable = i;
  }
  if (growable == slots.size()) slots.emplace_back();
  slots[growable].bytes = bytes;
  return growable;
}

}  // namespace

MemoryPlan PlanMemory(const Graph& graph, const Symbols& largest) {
  const std::vector<Life> lives = LivesOf(graph);
  std::vector<ValueId> order;
  for (ValueId value = 0; value < static_cast<ValueId>(graph.values.size()); ++value)
    order.push_back(value);
  std::stable_sort(order.begin(), order.end(), [&](ValueId a, ValueId b) {
    return lives[a].first_write < lives[b].first_write;
  });

  std::vector<Slot> slots;
  std::vector<size_t> slot_of(graph.values.size());
  for (const ValueId value : order) {
    const Expression bytes =
        graph.values[value].elements() * kernels::BytesOf(graph.values[value].dtype, 1);
    slot_of[value] = ChooseSlot(slots, bytes, lives[value].first_write, largest);
    slots[slot_of[value]].busy_until = lives[value].last_use;
  }

  MemoryPlan plan;
  std::vector<int64_t> slot_offset;
  for (const Slot& slot : slots) {
    slot_offset.push_back(plan.arena_bytes);
    const int64_t bytes = slot.bytes.Evaluate(largest);
    plan.arena_bytes += (bytes + kAlignmentBytes - 1) / kAlignmentBytes * kAlignmentBytes;
  }
  for (const size_t slot : slot_of) plan.offset_bytes.push_back(slot_offset[slot]);
  return plan;
}

}  // namespace potluck::model
