#include "coordinator/plan_question.h"

#include "common/status_macros.h"
#include "partition/planner.h"

namespace potluck::coordinator {

absl::StatusOr<partition::InstancePlan> PlanAt(const PlanQuestion& question,
                                               const std::vector<partition::Placement>& places) {
  partition::InstanceWish wish = question.wish;
  wish.layers.clear();
  wish.stays = true;
  for (const partition::Placement& place : places)
    wish.layers.push_back({place.device_id, place.first, place.end - 1});
  POTLUCK_ASSIGN_OR_RETURN(partition::InstancePlan plan,
                           partition::PlanInstance(question.cluster, wish, question.others));
  if (places.empty() || plan.placements() != places)
    return absl::FailedPreconditionError("its layers cannot all be there");
  return plan;
}

absl::StatusOr<partition::InstancePlan> MakePlan(const PlanQuestion& question) {
  if (!question.preferred.empty()) {
    auto plan = PlanAt(question, question.preferred);
    if (plan.ok()) return plan;
  }
  return partition::PlanInstance(question.cluster, question.wish, question.others);
}

}  // namespace potluck::coordinator
