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

// Members that are connected and measured. What the stages of a host's workers hold is taken on the
// machine, and free for the planner, which knows of its instances. Like devices of one host are as
// fast as the fastest of them was measured.
partition::ClusterProfile MakeClusterProfile(const std::map<wire::WorkerId, Member>& members,
                                             const std::string& coordinator_host,
                                             absl::Duration now);

}  // namespace potluck::coordinator
