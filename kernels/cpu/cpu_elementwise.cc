#include "kernels/cpu/cpu_backend.h"

namespace potluck::kernels {

absl::Status CpuBackend::RmsNorm(const RmsNormArgs&) { return absl::UnimplementedError("RmsNorm"); }
absl::Status CpuBackend::Rope(const RopeArgs&) { return absl::UnimplementedError("Rope"); }
absl::Status CpuBackend::GatedActivation(const GatedActivationArgs&) {
  return absl::UnimplementedError("GatedActivation");
}
absl::Status CpuBackend::Add(const AddArgs&) { return absl::UnimplementedError("Add"); }
absl::Status CpuBackend::Scale(const ScaleArgs&) { return absl::UnimplementedError("Scale"); }
absl::Status CpuBackend::SoftCap(const SoftCapArgs&) { return absl::UnimplementedError("SoftCap"); }
absl::Status CpuBackend::GatherRows(const GatherRowsArgs&) {
  return absl::UnimplementedError("GatherRows");
}
absl::Status CpuBackend::ExpertRoute(const ExpertRouteArgs&) {
  return absl::UnimplementedError("ExpertRoute");
}
absl::Status CpuBackend::ExpertCombine(const ExpertCombineArgs&) {
  return absl::UnimplementedError("ExpertCombine");
}

}  // namespace potluck::kernels
