// The planner: which devices run a model, in which order, with which layers, and why not the
// others. Pure functions: no threads, no clock, no network; the same question has the same answer,
// in whatever order devices and links are listed.
//
// Rules. A device is filled to 80% of its free memory at most. Of all pipelines the one with the
// least price (cost_model.h) is sought; one device alone is a pipeline like any other. Exact up to
// ten eligible devices, a heuristic beyond (pipeline_search.h). Equal prices: fewer devices, then
// the lower ids. For the latency of one stream, that pipeline's layers are then divided so that its
// slowest stage is as fast as can be, at a price at most 5% higher (even_split.h). An instance that
// runs stays where it is, unless another place is cheaper by a tenth, or its slowest stage faster
// by a quarter. Loading one instance never moves another's layers.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "partition/cost_model.h"
#include "partition/plan.h"
#include "partition/profiles.h"

namespace potluck::partition {

// With context_length 0 in a wish, the context is the model's own up to this, or what fits.
inline constexpr int64_t kDefaultContext = 8192;

// One instance beside `others`. InvalidArgument for a profile or wish that is none (Validate,
// CheckWish, layer wishes); ResourceExhausted where it fits nowhere, with how much is missing and
// what would fit.
absl::StatusOr<InstancePlan> PlanInstance(const ClusterProfile& cluster, const InstanceWish& wish,
                                          const Occupancy& others);

absl::Status CheckWish(const InstanceWish& wish);

// Adds what placements of a wish take.
void Occupy(const InstanceWish& wish, const std::vector<Placement>& placements,
            Occupancy& occupancy);

}  // namespace potluck::partition
