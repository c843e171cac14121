// A file that describes a cluster: docs/cli.md, `potluck plan`.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/bounded_json.h"
#include "partition/profiles.h"

namespace potluck::cli {

// InvalidArgument in one line that names the file and the device or link; keys that are not known
// are errors. The result is valid (partition::Validate).
absl::StatusOr<partition::ClusterProfile> ReadClusterFile(const std::string& path);
// The same from an object that has been read.
absl::StatusOr<partition::ClusterProfile> ClusterFromJson(const model::Json& json);

}  // namespace potluck::cli
