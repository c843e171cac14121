#pragma once

#include <stdint.h>

namespace potluck::kernels {

struct ProductKernels {
  int unused;
};

#define POTLUCK_CPU_TARGET(target) extern const ProductKernels ProductKernels_##target;
#include "kernels/targets.inc"
#undef POTLUCK_CPU_TARGET

}  // namespace potluck::kernels
