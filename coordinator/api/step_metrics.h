// Where the time of a model's steps goes, for Prometheus: computing and waiting on each stage, and
// the hops between them.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "common/metrics.h"
#include "coordinator/coordinator.h"

namespace potluck::coordinator {

// Single-threaded: lives on the coordinator's executor.
class StepMetrics {
 public:
  // The registry must outlive the object.
  explicit StepMetrics(MetricRegistry& registry) : registry_(registry) {}

  // A Coordinator::StepObserver. Timings that are not one for each stage are left out.
  void OnStep(const Instance& instance, std::span<const wire::StageTiming> timings,
              absl::Duration took);

 private:
  struct Pipeline {
    model::Epoch epoch;
    std::vector<Histogram*> compute, wait;  // by stage
    Histogram* hop = nullptr;
  };
  const Pipeline& HistogramsOf(const Instance& instance);

  MetricRegistry& registry_;
  std::map<model::InstanceId, Pipeline> pipelines_;
};

}  // namespace potluck::coordinator
