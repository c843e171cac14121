#include "kernels/reference/reference_backend.h"

#include "kernels/host_memory.h"

namespace potluck::kernels {

DeviceInfo ReferenceBackend::info() const {
  const HostMemory memory = ReadHostMemory();
  return {.name = "reference",
          .hardware = "plain C++, 1 thread",
          .target = "reference",
          .numerics_class = "cpu-1",
          .total_memory_bytes = memory.total_bytes,
          .free_memory_bytes = memory.free_bytes};
}

absl::Status ReferenceBackend::Reserve(const StepLimits&) { return absl::OkStatus(); }

}  // namespace potluck::kernels
