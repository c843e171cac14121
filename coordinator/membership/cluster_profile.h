// The members as the planner sees them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "coordinator/membership/member.h"
#include "partition/profiles.h"

namespace potluck::coordinator {

// Of one device in all of the cluster: "WORKER/DEVICE".
std::string DeviceId(const wire::WorkerId& worker, const std::string& device);

// Members that are connected and measured. `held_bytes`: what stages take of each device now, by
// DeviceId; a member counts it as taken, the planner as free.
partition::ClusterProfile MakeClusterProfile(const std::map<wire::WorkerId, Member>& members,
                                             const std::string& coordinator_host,
                                             const std::map<std::string, int64_t>& held_bytes,
                                             absl::Duration now);

}  // namespace potluck::coordinator
