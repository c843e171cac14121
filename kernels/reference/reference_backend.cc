#include "kernels/reference/reference_backend.h"

#include <cstring>

#include "kernels/host_buffer.h"

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

absl::StatusOr<std::unique_ptr<Buffer>> ReferenceBackend::Allocate(int64_t size_bytes,
                                                                   std::string_view what) {
  return AllocateHostBuffer(size_bytes, what);
}

absl::Status ReferenceBackend::Reserve(const StepLimits&) { return absl::OkStatus(); }

absl::Status ReferenceBackend::Upload(std::span<const std::byte> from, const TensorView& to) {
  std::memcpy(to.host<std::byte>(), from.data(), from.size());
  return absl::OkStatus();
}

absl::Status ReferenceBackend::Download(const TensorView& from, std::span<std::byte> to) {
  std::memcpy(to.data(), from.host<std::byte>(), to.size());
  return absl::OkStatus();
}

absl::Status ReferenceBackend::Copy(const Buffer& from, int64_t from_bytes, Buffer& to,
                                    int64_t to_bytes, int64_t size_bytes) {
  std::memcpy(to.host() + to_bytes, from.host() + from_bytes, size_bytes);
  return absl::OkStatus();
}

}  // namespace potluck::kernels
