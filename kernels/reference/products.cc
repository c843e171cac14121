#include "kernels/reference/reference_backend.h"

namespace potluck::kernels {

absl::StatusOr<std::unique_ptr<Weight>> ReferenceBackend::LoadWeight(const WeightData&) {
  return absl::UnimplementedError("LoadWeight");
}
absl::Status ReferenceBackend::Embed(const EmbedArgs&) { return absl::UnimplementedError("Embed"); }
absl::Status ReferenceBackend::MatMul(const MatMulArgs&) {
  return absl::UnimplementedError("MatMul");
}
absl::Status ReferenceBackend::ExpertMatMul(const ExpertMatMulArgs&) {
  return absl::UnimplementedError("ExpertMatMul");
}

}  // namespace potluck::kernels
