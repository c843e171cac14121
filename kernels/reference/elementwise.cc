#include "kernels/reference/reference_backend.h"

namespace potluck::kernels {

absl::Status ReferenceBackend::RmsNorm(const RmsNormArgs&) {
  return absl::UnimplementedError("RmsNorm");
}
absl::Status ReferenceBackend::Rope(const RopeArgs&) { return absl::UnimplementedError("Rope"); }
absl::Status ReferenceBackend::GatedActivation(const GatedActivationArgs&) {
  return absl::UnimplementedError("GatedActivation");
}
absl::Status ReferenceBackend::Add(const AddArgs&) { return absl::UnimplementedError("Add"); }
absl::Status ReferenceBackend::Scale(const ScaleArgs&) { return absl::UnimplementedError("Scale"); }
absl::Status ReferenceBackend::SoftCap(const SoftCapArgs&) {
  return absl::UnimplementedError("SoftCap");
}
absl::Status ReferenceBackend::GatherRows(const GatherRowsArgs&) {
  return absl::UnimplementedError("GatherRows");
}
absl::Status ReferenceBackend::ExpertRoute(const ExpertRouteArgs&) {
  return absl::UnimplementedError("ExpertRoute");
}
absl::Status ReferenceBackend::ExpertCombine(const ExpertCombineArgs&) {
  return absl::UnimplementedError("ExpertCombine");
}

}  // namespace potluck::kernels
