#include "kernels/cpu/cpu_backend.h"

namespace potluck::kernels {

absl::Status CpuBackend::ReserveAttentionScratch() { return absl::OkStatus(); }

absl::Status CpuBackend::KvWrite(const KvWriteArgs&) { return absl::UnimplementedError("KvWrite"); }
absl::Status CpuBackend::Attention(const AttentionArgs&) {
  return absl::UnimplementedError("Attention");
}

}  // namespace potluck::kernels
