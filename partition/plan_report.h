// From a chosen pipeline to the plan that people and the coordinator read: stages, times, standbys,
// what is survived, and why the other devices are left out.
#pragma once

#include <string>
#include <vector>

#include "partition/cost_model.h"
#include "partition/eligibility.h"
#include "partition/pipeline_search.h"
#include "partition/plan.h"

namespace potluck::partition {

struct PlanFacts {
  const ClusterProfile& cluster;
  const Occupancy& others;
  const CostModel& model;  // of the eligible devices
  const Eligibility& eligible;
  const PipelineChoice& pipeline;
  bool as_wished = false;
  std::vector<std::string> notes;
};

InstancePlan ReportPlan(const PlanFacts& facts);

}  // namespace potluck::partition
