#include "coordinator/instance/pipeline.h"

#include <algorithm>
#include <utility>

#include "partition/stage_memory.h"

namespace potluck::coordinator {
namespace {

// Sequences that have ended are kept for their prefixes, as long as there are blocks.
constexpr int64_t kMostSequences = 256;

}  // namespace

std::set<wire::WorkerId> Pipeline::workers() const {
  std::set<wire::WorkerId> workers;
  for (const partition::StagePlan& stage : plan.stages) workers.insert(stage.worker_id);
  return workers;
}

bool Pipeline::Uses(const wire::WorkerId& worker) const {
  return std::ranges::find(plan.stages, worker, &partition::StagePlan::worker_id) !=
         plan.stages.end();
}

Pipeline MakePipeline(partition::InstancePlan plan, const model::Epoch& epoch, bool windowed,
                      int64_t max_step_tokens) {
  Pipeline pipeline;
  PipelineShape& shape = pipeline.shape;
  shape.epoch = epoch;
  shape.context_length = plan.context_length;
  shape.kv_capacity = partition::KvCapacity(plan.context_length, plan.parallel);
  shape.max_sequences = plan.parallel + 1;  // one for the probe
  if (!windowed) shape.max_sequences = std::max(shape.max_sequences, kMostSequences);
  shape.max_tokens = max_step_tokens;
  shape.max_outputs = std::max(partition::kLeastOutputs, plan.parallel);
  const auto chunk = static_cast<double>(std::max<int64_t>(1, plan.prediction.chunk_tokens));
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    StageSpeed speed{.decode_step_seconds = plan.stages[i].decode_seconds,
                     .prefill_seconds_per_token = plan.stages[i].prefill_seconds / chunk};
    if (i + 1 < plan.hops.size())
      speed.link_seconds_per_token = plan.hops[i + 1].prefill_seconds / chunk;
    shape.stages.push_back(speed);
  }
  pipeline.epoch = epoch;
  pipeline.relayed.assign(plan.stages.size(), 0);
  pipeline.plan = std::move(plan);
  return pipeline;
}

}  // namespace potluck::coordinator
