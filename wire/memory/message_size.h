// About how many bytes a message is on a wire, for queues and simulated bandwidths.
#pragma once

#include <cstdint>

#include "wire/messages.h"

namespace potluck::wire {

int64_t EstimateBytes(const Message& message);

}  // namespace potluck::wire
