#include "kernels/cpu/cpu_backend.h"

namespace potluck::kernels {

absl::StatusOr<std::unique_ptr<Weight>> CpuBackend::LoadWeight(const WeightData&) {
  return absl::UnimplementedError("LoadWeight");
}
absl::Status CpuBackend::ReserveProductScratch() { return absl::OkStatus(); }
absl::Status CpuBackend::Embed(const EmbedArgs&) { return absl::UnimplementedError("Embed"); }
absl::Status CpuBackend::MatMul(const MatMulArgs&) { return absl::UnimplementedError("MatMul"); }
absl::Status CpuBackend::ExpertMatMul(const ExpertMatMulArgs&) {
  return absl::UnimplementedError("ExpertMatMul");
}

}  // namespace potluck::kernels
