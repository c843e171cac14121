// Prediction beside measurement, for an instance that runs: real requests over HTTP, as any client
// sends them. What else the cluster does at that time slows it down, as it should.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "cli/http_client.h"

namespace potluck::cli {

// `instance`: an entry of GET /cluster/plan that is ready. Answers {"prompt_tokens",
// "generated_tokens", "runs", "prefill_tokens_per_second": {"predicted", "measured", "ratio"},
// "decode_tokens_per_second": {...}}; ratio is measured by predicted.
absl::StatusOr<nlohmann::ordered_json> CheckSpeed(const HttpClient& client,
                                                  const nlohmann::ordered_json& instance);
void PrintCheck(const nlohmann::ordered_json& check);

}  // namespace potluck::cli
