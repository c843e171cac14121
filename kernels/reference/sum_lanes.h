// The tree in which cpu-1 adds its 16 lanes.
#pragma once

#include <array>

namespace potluck::kernels {

// Lanes i and i + 8 are added, then i and i + 4, i + 2, i + 1.
inline float SumLanes(std::array<float, 16> lanes) {
  for (int step = 8; step >= 1; step /= 2) {
    for (int i = 0; i < step; ++i) lanes[i] = lanes[i] + lanes[i + step];
  }
  return lanes[0];
}

}  // namespace potluck::kernels
