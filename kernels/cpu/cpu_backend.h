// The CPU as a device: numerics class cpu-1 on every instruction set.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/cpu/cpu_target.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/host_backend.h"

namespace potluck::kernels {

class CpuBackend final : public HostBackend {
 public:
  struct Options {
    int num_threads = 0;  // 0: one per physical core
    std::string target;   // pins an instruction set of kernels/targets.inc; empty: the fastest
    // Operations that take one thread less than this are not shared among threads. Tests share
    // more.
    absl::Duration least_shared = absl::Microseconds(25);
  };
  static absl::StatusOr<std::unique_ptr<CpuBackend>> Create(const Options& options);

  // One per physical core that this process may use.
  static int DefaultThreads();

  DeviceInfo info() const override;
  int num_threads() const { return threads_.num_threads(); }

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

  // Operations are done when their methods return; this sends the threads to sleep.
  absl::Status Fence() override;

 private:
  CpuBackend(const CpuTarget& target, int num_threads, absl::Duration least_shared)
      : target_(target), threads_(num_threads, least_shared) {}

  absl::Status ReserveProductScratch(const StepLimits& limits);    // cpu_products.cc
  absl::Status ReserveAttentionScratch(const StepLimits& limits);  // cpu_attention.cc

  // Rows of x as the products' types want them, in product_scratch_ (panel_layout.h).
  struct QuantizedInput {
    const uint8_t* blocks_32;   // where a type has blocks of 32 values
    const uint8_t* blocks_256;  // of 256
    std::span<std::byte> rest;  // of the scratch
  };
  absl::StatusOr<QuantizedInput> QuantizeInput(const TensorView& x,
                                               std::span<const Product> products,
                                               Precision precision);
  // A x of each row that has an adapter, `stride` floats apart, into `scratch`.
  absl::Status ProjectDown(const TensorView& x, const Product& product, int64_t stride,
                           std::span<std::byte> scratch);
  // Sorts the rows (token, choice) by expert into `order`, and fills expert_begin_ and
  // active_experts_; returns the number of the latter.
  int64_t GroupByExpert(const TensorView& experts, int32_t* order);

  const CpuTarget& target_;
  ThreadPool threads_;
  StepLimits limits_;  // for which there is scratch
  // Scratch of one step, sized by Reserve(): the quantised input of a product, and what attention
  // keeps per span.
  std::unique_ptr<Buffer> product_scratch_;
  std::unique_ptr<Buffer> attention_scratch_;
  // Rows of each expert in a step, as many as the largest stack that was loaded has.
  std::vector<int32_t> expert_begin_;
  std::vector<int32_t> active_experts_;
};

}  // namespace potluck::kernels
