#include "coordinator/api/step_metrics.h"

#include <algorithm>

#include "coordinator/api/cluster_metrics.h"

namespace potluck::coordinator {
namespace {

// Of parts of a step: from a fast hop on one machine to a chunk of a prompt on a slow one.
const std::vector<double>& Bounds() {
  static const std::vector<double> bounds = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                             0.005,   0.01,   0.025,   0.05,   0.1,   0.25,
                                             0.5,     1,      2.5,     5,      10};
  return bounds;
}

}  // namespace

const StepMetrics::Pipeline& StepMetrics::HistogramsOf(const Instance& instance) {
  const coordinator::Pipeline& present = *instance.pipeline();
  Pipeline& pipeline = pipelines_[instance.model().id];
  if (pipeline.hop != nullptr && pipeline.epoch == present.epoch) return pipeline;
  pipeline = {.epoch = present.epoch};
  const MetricLabels labels = MetricLabelsOf(instance);
  for (const partition::StagePlan& stage : present.plan.stages) {
    const MetricLabels of = MetricLabelsOf(instance, stage);
    pipeline.compute.push_back(&registry_.AddHistogram(
        "potluck_stage_compute_seconds", "Of a step, computing on one stage", Bounds(), of));
    pipeline.wait.push_back(&registry_.AddHistogram(
        "potluck_stage_wait_seconds", "Of a step, waiting on one stage for those before it",
        Bounds(), of));
  }
  pipeline.hop = &registry_.AddHistogram(
      "potluck_hop_transfer_seconds",
      "Of a step, what is neither computing nor waiting on a stage, shared out over its hops",
      Bounds(), labels);
  return pipeline;
}

void StepMetrics::OnStep(const Instance& instance, std::span<const wire::StageTiming> timings,
                         absl::Duration took) {
  if (instance.pipeline() == nullptr) return;
  const Pipeline& pipeline = HistogramsOf(instance);
  if (timings.size() != pipeline.compute.size()) return;
  double rest = absl::ToDoubleSeconds(took);
  // What a peer says of itself: no more than there was, and no NaN.
  const auto part_of_it = [&rest](double seconds) {
    const double part = seconds > 0 ? std::min(seconds, rest) : 0;
    rest -= part;
    return part;
  };
  for (size_t stage = 0; stage < timings.size(); ++stage) {
    pipeline.compute[stage]->Observe(part_of_it(timings[stage].computing_seconds));
    pipeline.wait[stage]->Observe(part_of_it(timings[stage].waiting_seconds));
  }
  // From the coordinator to the first stage, on, and back.
  pipeline.hop->Observe(rest / static_cast<double>(timings.size() + 1));
}

}  // namespace potluck::coordinator
