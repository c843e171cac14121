// What a coordinator has to know again after a restart: how often it has started, what is loaded,
// and where that ran. A JSON document in its state folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/api/http/load_request.h"
#include "partition/plan.h"

namespace potluck::coordinator {

struct KeptInstance {
  LoadRequest request;                           // with the context that it has
  std::vector<partition::Placement> placements;  // of the last plan
};

struct ClusterState {
  int64_t term = 0;  // of the last start
  std::vector<KeptInstance> instances;
};

std::string ToJson(const ClusterState& state);
// InvalidArgument for a text that ToJson does not write.
absl::StatusOr<ClusterState> ParseClusterState(std::string_view text);

}  // namespace potluck::coordinator
