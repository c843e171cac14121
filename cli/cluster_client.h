// What the commands share that ask a running cluster.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "cli/http_client.h"

namespace potluck::cli {

struct ClusterOptions {
  std::string url;      // empty: this user's coordinator, else http://127.0.0.1:7070
  std::string api_key;  // empty: $POTLUCK_API_KEY
};

// --url and --api-key.
void AddClusterOptions(CLI::App& command, ClusterOptions& options);

absl::StatusOr<HttpClient> ConnectTo(const ClusterOptions& options);

// The reply as JSON; where it is an error, what the cluster says of it.
absl::StatusOr<nlohmann::ordered_json> JsonOf(const HttpReply& reply);

}  // namespace potluck::cli
