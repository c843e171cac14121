// The cluster's state for Prometheus: docs/metrics.md lists the families.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "common/metrics.h"
#include "coordinator/coordinator.h"

namespace potluck::coordinator {

// "model" and "replica"; and of a stage its worker and device.
MetricLabels MetricLabelsOf(const Instance& instance);
MetricLabels MetricLabelsOf(const Instance& instance, const partition::StagePlan& stage);

std::vector<MetricFamily> ClusterMetrics(const Coordinator& coordinator, absl::Duration now);

}  // namespace potluck::coordinator
