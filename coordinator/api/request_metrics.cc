#include "coordinator/api/request_metrics.h"

#include <vector>

#include "absl/strings/str_cat.h"

namespace potluck::coordinator {
namespace {

const std::vector<double>& FirstTokenBounds() {
  static const std::vector<double> bounds = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                             0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                             20,    40,    80,   160,  640,  2560};
  return bounds;
}

const std::vector<double>& TokenBounds() {
  static const std::vector<double> bounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                             0.15,  0.2,    0.3,   0.4,  0.5,   0.75, 1,     2.5,
                                             5,     7.5,    10,    20,   40,    80};
  return bounds;
}

const std::vector<double>& RequestBounds() {
  static const std::vector<double> bounds = {0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1,    1.5,
                                             2,    2.5,  5,   10,  15,  20,  30,   40,
                                             50,   60,   120, 240, 480, 960, 1920, 7680};
  return bounds;
}

}  // namespace

RequestMetrics RequestMetricsOf(MetricRegistry& registry, const std::string& model,
                                model::InstanceId replica) {
  const MetricLabels labels = {{"model", model}, {"replica", absl::StrCat(replica)}};
  const auto histogram = [&](const char* name, const char* help,
                             const std::vector<double>& bounds) -> Histogram& {
    return registry.AddHistogram(name, help, bounds, labels);
  };
  const auto counter = [&](const char* name, const char* help) -> Counter& {
    return registry.AddCounter(name, help, labels);
  };
  const auto finished = [&](const char* reason) -> Counter& {
    MetricLabels with = labels;
    with.emplace_back("reason", reason);
    return registry.AddCounter("potluck_requests_finished_total",
                               "Answers that ended in good order, by why", with);
  };
  return {
      .time_to_first_token =
          histogram("potluck_time_to_first_token_seconds",
                    "From a request's arrival to its first token", FirstTokenBounds()),
      .inter_token = histogram("potluck_inter_token_latency_seconds",
                               "From one token of an answer to the next", TokenBounds()),
      .end_to_end = histogram("potluck_e2e_request_latency_seconds",
                              "From a request's arrival to its answer's end", RequestBounds()),
      .queue = histogram("potluck_request_queue_time_seconds",
                         "From a request's arrival to its first step", RequestBounds()),
      .prefill = histogram("potluck_request_prefill_time_seconds",
                           "From a request's first step to its first token", RequestBounds()),
      .prompt_tokens = counter("potluck_prompt_tokens_total", "Tokens of prompts"),
      .cached_tokens = counter("potluck_prompt_tokens_cached_total",
                               "Tokens of prompts whose KV was there already"),
      .generated_tokens = counter("potluck_generation_tokens_total", "Tokens of answers"),
      .stopped = finished("stop"),
      .cut_off = finished("length"),
      .cancelled = finished("cancelled"),
      .failed = counter("potluck_requests_failed_total", "Requests that ended in an error"),
  };
}

}  // namespace potluck::coordinator
