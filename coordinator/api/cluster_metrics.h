// The cluster's state for Prometheus: docs/metrics.md lists the families.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "common/metrics.h"
#include "coordinator/coordinator.h"

namespace potluck::coordinator {

std::vector<MetricFamily> ClusterMetrics(const Coordinator& coordinator, absl::Duration now);

}  // namespace potluck::coordinator
