// A plan for people: the split, the speeds, where the time goes, who is left out, who may be lost.
#pragma once

#include <nlohmann/json.hpp>

namespace potluck::cli {

// `plan`: as coordinator/api/plan_json.h writes it.
void PrintPlan(const nlohmann::ordered_json& plan);

}  // namespace potluck::cli
