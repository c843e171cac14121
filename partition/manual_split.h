// A person's own split, made into a pipeline where that is possible.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partition/cost_model.h"

namespace potluck::partition {

struct ManualSplit {
  std::vector<Slice> slices;  // empty where it cannot be
  std::string why_not;        // "no worker is called pi4"
};

// `model` is that of all eligible devices. A name is a device's id, a worker's id or a worker's
// label; of a worker's several devices the fastest is meant. InvalidArgument for wishes that do not
// cover each layer once, or that name one device twice: mistakes of the person. Workers that are
// away and memory that is too small are no mistakes: `why_not` says so, and the planner takes over.
absl::StatusOr<ManualSplit> MakeManualSplit(const CostModel& model);

}  // namespace potluck::partition
