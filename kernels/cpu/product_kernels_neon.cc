#include "kernels/cpu/product_kernels.h"
namespace potluck::kernels {
const ProductKernels ProductKernels_cpu_neon = {};
}
