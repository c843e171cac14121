// Where a Prometheus finds the workers: what its http_sd_configs reads. Source: Prometheus' manual,
// "HTTP Service Discovery".
//
//   GET /cluster/prometheus/targets           all workers that are here
//   GET /cluster/prometheus/targets?reach=direct | relayed    those of one kind
//   GET /cluster/prometheus/worker?id=ID      metrics of one, which the coordinator fetches
//
// Workers that were started with --metrics where others reach it are asked themselves; of all
// others the coordinator tells what they tell it.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/api/http/http_server.h"
#include "coordinator/coordinator.h"

namespace potluck::coordinator {

inline constexpr char kWorkerMetricsPath[] = "/cluster/prometheus/worker";

enum class Reach { kDirect, kRelayed };

// Nothing: both. InvalidArgument for another word.
absl::StatusOr<std::optional<Reach>> ParseReach(std::string_view query);
// The value of `id` in a query; empty: there is none.
std::string WorkerIdIn(std::string_view query);

// `request`: how this Prometheus reaches the coordinator (its Host, and whether over TLS).
nlohmann::ordered_json TargetsJson(const Coordinator& coordinator, std::optional<Reach> wanted,
                                   const HttpRequest& request);

}  // namespace potluck::coordinator
