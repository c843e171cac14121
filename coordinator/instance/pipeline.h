// A plan as it is carried out: the stages of one instance in one epoch.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "coordinator/scheduler/instance_scheduler.h"
#include "partition/plan.h"
#include "wire/messages.h"

namespace potluck::coordinator {

struct Pipeline {
  model::Epoch epoch;
  partition::InstancePlan plan;
  PipelineShape shape;
  std::vector<int64_t> relayed;  // by stage, the last step that the coordinator has handed it

  int32_t num_stages() const { return static_cast<int32_t>(plan.stages.size()); }
  const wire::WorkerId& worker(int32_t stage) const { return plan.stages[stage].worker_id; }
  const wire::WorkerId& first_worker() const { return plan.stages.front().worker_id; }
  const wire::WorkerId& last_worker() const { return plan.stages.back().worker_id; }
  std::set<wire::WorkerId> workers() const;
  bool Uses(const wire::WorkerId& worker) const;
};

// `windowed`: some layers keep memory for each sequence, so no more are allowed than planned for.
Pipeline MakePipeline(partition::InstancePlan plan, const model::Epoch& epoch, bool windowed,
                      int64_t max_step_tokens);

}  // namespace potluck::coordinator
