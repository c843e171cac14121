#include "coordinator/plan_question.h"

#include "common/status_macros.h"
#include "partition/planner.h"

namespace potluck::coordinator {

absl::StatusOr<partition::InstancePlan> PlanInPlace(const PlanQuestion& question) {
  partition::InstanceWish wish = question.wish;
  wish.layers.clear();
  for (const partition::Placement& placement : wish.previous)
    wish.layers.push_back({placement.device_id, placement.first, placement.end - 1});
  POTLUCK_ASSIGN_OR_RETURN(partition::InstancePlan plan,
                           partition::PlanInstance(question.cluster, wish, question.others));
  if (wish.previous.empty() || plan.placements() != wish.previous)
    return absl::FailedPreconditionError("its layers cannot all be where they were");
  return plan;
}

absl::StatusOr<partition::InstancePlan> Answer(const PlanQuestion& question) {
  if (question.as_before && !question.wish.previous.empty()) {
    auto plan = PlanInPlace(question);
    if (plan.ok()) return plan;
  }
  return partition::PlanInstance(question.cluster, question.wish, question.others);
}

}  // namespace potluck::coordinator
