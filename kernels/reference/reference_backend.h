// Every operation in plain scalar C++, in the order that numerics class cpu-1 prescribes: the
// oracle that all other backends are held against. One thread; speed is no aim.
#pragma once

#include <memory>

#include "kernels/host_backend.h"

namespace potluck::kernels {

class ReferenceBackend final : public HostBackend {
 public:
  DeviceInfo info() const override;

  absl::StatusOr<std::unique_ptr<Weight>> LoadWeight(const WeightData& data) override;
  absl::Status Reserve(const StepLimits& limits) override;

  absl::Status Embed(const EmbedArgs& args) override;
  absl::Status RmsNorm(const RmsNormArgs& args) override;
  absl::Status MatMul(const MatMulArgs& args) override;
  absl::Status ExpertMatMul(const ExpertMatMulArgs& args) override;
  absl::Status Rope(const RopeArgs& args) override;
  absl::Status KvWrite(const KvWriteArgs& args) override;
  absl::Status Attention(const AttentionArgs& args) override;
  absl::Status GatedActivation(const GatedActivationArgs& args) override;
  absl::Status Add(const AddArgs& args) override;
  absl::Status Scale(const ScaleArgs& args) override;
  absl::Status SoftCap(const SoftCapArgs& args) override;
  absl::Status GatherRows(const GatherRowsArgs& args) override;
  absl::Status ExpertRoute(const ExpertRouteArgs& args) override;
  absl::Status ExpertCombine(const ExpertCombineArgs& args) override;

  absl::Status Fence() override { return absl::OkStatus(); }
};

}  // namespace potluck::kernels
