// What a person is told where a model fits nowhere: how much is missing, and what would fit.
#pragma once

#include "absl/status/status.h"
#include "partition/cost_model.h"
#include "partition/eligibility.h"

namespace potluck::partition {

// Whether some split over the eligible devices fits.
bool Fits(const ClusterProfile& cluster, const InstanceWish& wish, const Occupancy& others,
          const std::string& without_worker = "");

// The largest context, a multiple of 256 up to `most`, that fits; 0 where 256 does not.
int64_t LargestContext(const ClusterProfile& cluster, const InstanceWish& wish,
                       const Occupancy& others, int64_t most);

// Bytes that the model needs beyond what the eligible devices may give together: at least so much
// is missing. 0 or less where it is only that no split fits.
int64_t MissingBytes(const ClusterProfile& cluster, const InstanceWish& wish,
                     const Occupancy& others, const std::string& without_worker = "");

// ResourceExhausted in one line, for a wish that does not fit.
absl::Status ExplainShortage(const ClusterProfile& cluster, const InstanceWish& wish,
                             const Occupancy& others, const Eligibility& eligible);

}  // namespace potluck::partition
