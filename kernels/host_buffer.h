// Memory of this machine, for the backends that compute in it.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/tensor.h"

namespace potluck::kernels {

// Zeroed, aligned to 64 bytes, in huge pages where the system has them. Pages take memory when they
// are first written. ResourceExhausted, naming `what` and the size, where the system refuses.
absl::StatusOr<std::unique_ptr<Buffer>> AllocateHostBuffer(int64_t size_bytes,
                                                           std::string_view what);

}  // namespace potluck::kernels
