// Which devices may have layers of a model at all, and why the others may not.
#pragma once

#include <string>
#include <vector>

#include "partition/cost_model.h"
#include "partition/plan.h"

namespace potluck::partition {

// A device that others use this much is left alone.
inline constexpr double kTooBusy = 0.95;

struct Eligibility {
  std::vector<int> devices;  // indices into cluster.devices, by id
  std::vector<LeftOut> left_out;
};

// `without_worker`: left aside without a reason; "" for none.
Eligibility EligibleDevices(const ClusterProfile& cluster, const InstanceWish& wish,
                            const Occupancy& others, const std::string& without_worker = "");

}  // namespace potluck::partition
