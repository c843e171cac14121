// The cluster's state as people and programs read it: `GET /cluster`, `potluck status --json`.
#pragma once

#include <nlohmann/json.hpp>

#include "coordinator/coordinator.h"

namespace potluck::coordinator {

// {"cluster", "version", "term", "instances", "workers", "counters"}: docs/cli.md describes it.
nlohmann::ordered_json ClusterJson(const Coordinator& coordinator, absl::Duration now);

}  // namespace potluck::coordinator
