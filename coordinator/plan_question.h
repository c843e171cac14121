// What the coordinator asks the planner, as plain data: answering takes up to a second where there
// are ten devices, so whoever only wants to know asks on another thread.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "partition/cost_model.h"
#include "partition/plan.h"
#include "partition/profiles.h"

namespace potluck::coordinator {

struct PlanQuestion {
  partition::ClusterProfile cluster;
  partition::InstanceWish wish;
  partition::Occupancy others;
  // Where it is to be if it can be there, since the weights are; empty: wherever it is best.
  std::vector<partition::Placement> preferred;
};

// Errors as of partition::PlanInstance.
absl::StatusOr<partition::InstancePlan> MakePlan(const PlanQuestion& question);

// The plan for these very places. FailedPrecondition where a device of them is missing or too small
// now.
absl::StatusOr<partition::InstancePlan> PlanAt(const PlanQuestion& question,
                                               const std::vector<partition::Placement>& places);

}  // namespace potluck::coordinator
