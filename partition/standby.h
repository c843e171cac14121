// A second device for every stage: the weights of its layers wait on that device's disk.
#pragma once

#include <span>
#include <vector>

#include "partition/cost_model.h"
#include "partition/plan.h"

namespace potluck::partition {

// Chooses up to `copies` - 1 standby devices for each stage of `stages` (made from `slices`), each
// of another worker. `candidates` is the model of all devices that may have layers; slices number
// its devices. Preferred, in this order: a worker that has the layers on its disk already, another
// host, a device whose memory holds them beside what it has, who stands by now, one without a stage
// (it takes over as it is), the fastest, the lower id. Where the disks lack the space, a stage has
// fewer, and a note says so.
void ChooseStandbys(const CostModel& candidates, std::span<const Slice> slices,
                    std::vector<StagePlan>& stages, std::vector<std::string>& notes);

}  // namespace potluck::partition
