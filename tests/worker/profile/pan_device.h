// A device that computes nothing and takes, on a fake clock, the time that a simple machine would:
// what is measured of it must come out as it was put in.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "kernels/host_backend.h"
#include "tests/testing/fake_clock.h"

namespace potluck::worker {

struct PanSpeeds {
  double memory_bytes_per_second = 4e9;  // of weights that no cache holds
  int64_t cache_bytes = 8 << 20;
  double cache_bytes_per_second = 20e9;
  double operations_per_second = 1e11;
  double overhead_seconds = 5e-6;  // per call
  double sharing_seconds = 0;      // per call of more than 64 KiB of weights
  // These formats are slower from the cache, or are not there (0).
  std::map<kernels::DType, double> formats;
};

class PanDevice final : public kernels::HostBackend {
 public:
  PanDevice(FakeClock& clock, PanSpeeds speeds) : clock_(clock), speeds_(std::move(speeds)) {}

  int num_products() const { return num_products_; }
  // Products take so many times as long from now on.
  void SlowDown(double times) { slowness_ = times; }
  // Products fail from now on.
  void Break() { broken_ = true; }

  kernels::DeviceInfo info() const override;
  absl::StatusOr<std::unique_ptr<kernels::Weight>> LoadWeight(
      const kernels::WeightData& data) override;
  absl::Status Reserve(const kernels::StepLimits& /*limits*/) override { return absl::OkStatus(); }
  absl::Status MatMul(const kernels::MatMulArgs& args) override;
  absl::Status Fence() override { return absl::OkStatus(); }

  absl::Status Embed(const kernels::EmbedArgs&) override { return None(); }
  absl::Status RmsNorm(const kernels::RmsNormArgs&) override { return Call(); }
  absl::Status ExpertMatMul(const kernels::ExpertMatMulArgs&) override { return None(); }
  absl::Status Rope(const kernels::RopeArgs&) override { return Call(); }
  absl::Status KvWrite(const kernels::KvWriteArgs&) override { return Call(); }
  absl::Status Attention(const kernels::AttentionArgs&) override { return Call(); }
  absl::Status GatedActivation(const kernels::GatedActivationArgs&) override { return Call(); }
  absl::Status Add(const kernels::AddArgs&) override { return Call(); }
  absl::Status Scale(const kernels::ScaleArgs&) override { return None(); }
  absl::Status SoftCap(const kernels::SoftCapArgs&) override { return None(); }
  absl::Status GatherRows(const kernels::GatherRowsArgs&) override { return None(); }
  absl::Status ExpertRoute(const kernels::ExpertRouteArgs&) override { return None(); }
  absl::Status ExpertCombine(const kernels::ExpertCombineArgs&) override { return None(); }

 private:
  static absl::Status None() { return absl::InternalError("a pan does not do this"); }
  // An operation of a small layer: nothing but the call.
  absl::Status Call() {
    clock_.Advance(absl::Seconds(speeds_.overhead_seconds));
    return absl::OkStatus();
  }

  FakeClock& clock_;
  const PanSpeeds speeds_;
  int num_products_ = 0;
  double slowness_ = 1;
  bool broken_ = false;
};

}  // namespace potluck::worker
