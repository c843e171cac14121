// What people's requests cost them, by model and replica: for Prometheus. Names and buckets are
// those of vLLM where it has them, so that dashboards port over.
#pragma once

#include <string>

#include "common/metrics.h"
#include "model/generation/finish_reason.h"
#include "model/step.h"

namespace potluck::coordinator {

// Thread-safe; references into the registry.
struct RequestMetrics {
  Histogram& time_to_first_token;
  Histogram& inter_token;
  Histogram& end_to_end;
  Histogram& queue;
  Histogram& prefill;
  Counter& prompt_tokens;
  Counter& cached_tokens;
  Counter& generated_tokens;
  Counter& stopped;
  Counter& cut_off;  // by a limit
  Counter& cancelled;
  Counter& failed;
};

// The same for the same model and replica.
RequestMetrics RequestMetricsOf(MetricRegistry& registry, const std::string& model,
                                model::InstanceId replica);

}  // namespace potluck::coordinator
