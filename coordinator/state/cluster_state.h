// What a coordinator has to know again after a restart: how often it has started, what is loaded
// and where that ran, which workers it knows and what people want of them. A JSON document in its
// state folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/api/load_request.h"
#include "coordinator/membership/member.h"
#include "partition/plan.h"

namespace potluck::coordinator {

struct KeptInstance {
  LoadRequest request;                           // with the context that it has
  std::vector<partition::Placement> placements;  // of the last plan
};

struct ClusterState {
  int64_t term = 0;  // of the last start
  std::vector<KeptInstance> instances;
  std::vector<KnownWorker> workers;
};

// A worker that was not seen for so long is forgotten.
inline constexpr absl::Duration kWorkerMemory = absl::Hours(24 * 30);

// Says to the day when a worker was last seen, so that the text does not change all the time.
std::string ToJson(const ClusterState& state, absl::Time now);
// InvalidArgument for a text that ToJson does not write. One without workers, of an older version,
// is fine.
absl::StatusOr<ClusterState> ParseClusterState(std::string_view text, absl::Time now);

}  // namespace potluck::coordinator
