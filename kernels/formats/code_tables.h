// What the 4-bit codes of iq4_nl, iq4_xs and mxfp4 stand for. Plain static tables, so that files
// compiled for one instruction set can include this header (see kernels/cpu/product_kernels.h).
#pragma once

#include <stdint.h>

namespace potluck::kernels {

static constexpr int8_t kIq4Table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};
// Twice the value of an E2M1 float (OCP Microscaling v1.0), so that all are integers; the scale is
// halved in turn.
static constexpr int8_t kE2M1Table[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace potluck::kernels
