#include "kernels/cpu/float_kernels.h"

#define POTLUCK_JOIN_INNER(a, b) a##b
#define POTLUCK_JOIN(a, b) POTLUCK_JOIN_INNER(a, b)

namespace potluck::kernels {
const FloatKernels POTLUCK_JOIN(FloatKernels_, POTLUCK_TARGET) = {};
}
