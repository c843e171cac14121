#pragma once

#include <stdint.h>

namespace potluck::kernels {

struct FloatKernels {
  int unused;
};

#define POTLUCK_CPU_TARGET(target) extern const FloatKernels FloatKernels_##target;
#include "kernels/targets.inc"
#undef POTLUCK_CPU_TARGET

}  // namespace potluck::kernels
