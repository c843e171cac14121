// The cluster's state as people and programs read it: `GET /cluster`, `potluck status --json`.
#pragma once

#include <nlohmann/json.hpp>

#include "coordinator/coordinator.h"

namespace potluck::coordinator {

// {"cluster", "version", "term", "instances", "workers", "counters"}: docs/cli.md describes it.
nlohmann::ordered_json ClusterJson(const Coordinator& coordinator, absl::Duration now);
// "ready", "changing", "loading", "starting" or "waiting".
const char* StateOf(const Instance& instance);

}  // namespace potluck::coordinator
