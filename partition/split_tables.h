// One question to the searches, in plain numbers: which devices, in which order, with which layers,
// make the cheapest pipeline whose stages fit and take at most so long.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "partition/cost_model.h"

namespace potluck::partition {

struct SplitTables {
  int64_t num_layers = 0;
  const StageMemory* memory = nullptr;
  // By device number.
  std::vector<StageCosts> costs;
  std::vector<int64_t> capacity_bytes;
  std::vector<double> enter_seconds, leave_seconds;
  std::vector<int> pool;
  // (from, to); kNever where there is no way. Of a hop, and of these the part that holds the link.
  std::vector<double> hop_seconds, link_seconds;
  // By pool: how many of its devices the tables were made for.
  std::vector<int> sharers;

  int num_devices() const { return static_cast<int>(costs.size()); }
  double Hop(int from, int to) const { return hop_seconds[from * num_devices() + to]; }
  double Link(int from, int to) const { return link_seconds[from * num_devices() + to]; }
};

// For steps of `sequences` tokens, with `sharers` devices of each pool in the pipeline: they share
// memory, and, where several steps are in flight, speed.
SplitTables MakeSplitTables(const CostModel& model, int64_t sequences, std::vector<int> sharers,
                            bool in_flight);

struct SplitCost {
  double sum = 0, slowest = 0;  // as in cost_model.h
};
SplitCost CostOf(const SplitTables& tables, std::span<const Slice> slices);

// The first layer from which a stage on a device may begin, so that it fits and takes at most
// `longest_seconds`: by its end, num_layers + 1 entries; entries equal to their end mean none.
// Stages that begin at 0 hold the embedding, too, and are asked for separately (StageFits).
std::vector<int64_t> FirstLayers(const SplitTables& tables, int device, double longest_seconds);
bool StageFits(const SplitTables& tables, const Slice& slice, double longest_seconds);

}  // namespace potluck::partition
