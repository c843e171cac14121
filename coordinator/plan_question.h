// What the coordinator asks the planner, as plain data: answering takes up to a second where there
// are ten devices, so whoever only wants to know asks on another thread.
#pragma once

#include "absl/status/statusor.h"
#include "partition/cost_model.h"
#include "partition/plan.h"
#include "partition/profiles.h"

namespace potluck::coordinator {

struct PlanQuestion {
  partition::ClusterProfile cluster;
  partition::InstanceWish wish;
  partition::Occupancy others;
  // Where it was before comes first: its stages may still be there, or their weights.
  bool as_before = false;
};

// Errors as of partition::PlanInstance.
absl::StatusOr<partition::InstancePlan> Answer(const PlanQuestion& question);

// The plan for the very places where it was or is (wish.previous): how fast it ought to be there.
// FailedPrecondition where a device of them is missing or too small now.
absl::StatusOr<partition::InstancePlan> PlanInPlace(const PlanQuestion& question);

}  // namespace potluck::coordinator
