// A plan as people and programs read it: `potluck plan --json`, /cluster/plan.
#pragma once

#include <nlohmann/json.hpp>

#include "partition/plan.h"

namespace potluck::coordinator {

// {"model", "context_length", "parallel", "exact", "prediction", "stages", "hops", "left_out",
// "losses", "notes"}: docs/cli.md describes it.
nlohmann::ordered_json PlanJson(const partition::InstancePlan& plan);
// Parts of it.
nlohmann::ordered_json LeftOutJson(const partition::InstancePlan& plan);
nlohmann::ordered_json LossesJson(const partition::InstancePlan& plan);

}  // namespace potluck::coordinator
