// A backend owns the memory of one device and a queue of operations on it. Operations are methods
// at the granularity of a graph node; <op>.h holds each one's contract.
//
// Thread-compatible: one thread at a time drives a backend. Operations are enqueued in order;
// Fence() waits for all of them, and only after it may the host read what they wrote. Spans in
// arguments (ids, positions, KvIndex) are read before the call returns.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "kernels/embed.h"
#include "kernels/matmul.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace potluck::kernels {

struct DeviceInfo {
  std::string name;            // as the user pins it: "cpu", "opencl:0"
  std::string hardware;        // "AMD EPYC 9355, 2 threads"
  std::string target;          // the instruction set or driver that runs: "cpu_avx2"
  std::string numerics_class;  // devices of one class give the same bits: "cpu-1"
  // Memory and bandwidth that the host and its other devices do not share.
  bool own_memory = false;
  int64_t total_memory_bytes = 0;
  int64_t free_memory_bytes = 0;
};

// The most that any step will ask for, so that scratch space is allocated once.
struct StepLimits {
  int64_t max_tokens = 0;        // T
  int64_t max_input_dim = 0;     // K of any product
  int64_t max_experts_used = 0;  // Eu; 0 without experts
  int64_t max_lora_rank = 0;     // R; 0 without adapters
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual DeviceInfo info() const = 0;

  // Zeroed memory. ResourceExhausted, naming `what` and the bytes, where there is not enough.
  virtual absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t size_bytes,
                                                           std::string_view what) = 0;
  // Repacks a weight into the layout that this backend's kernels want. The bytes are not needed
  // afterwards. Unimplemented for a type that the backend lacks; InvalidArgument, naming the
  // weight, for bytes of a wrong length and for scales or values that are NaN or infinite.
  virtual absl::StatusOr<std::unique_ptr<Weight>> LoadWeight(const WeightData& data) = 0;
  // Called before the first step, and again where limits grow.
  virtual absl::Status Reserve(const StepLimits& limits) = 0;

  // Fills a dense view from as many bytes, and reads one. InvalidArgument for another number of
  // bytes, or for a view that is not dense or leaves its buffer.
  virtual absl::Status Upload(std::span<const std::byte> from, const TensorView& to) = 0;
  virtual absl::Status Download(const TensorView& from, std::span<std::byte> to) = 0;
  // Copies bytes within or between buffers of this device. InvalidArgument where the ranges overlap
  // or leave their buffers.
  virtual absl::Status Copy(const Buffer& from, int64_t from_bytes, Buffer& to, int64_t to_bytes,
                            int64_t size_bytes) = 0;

  virtual absl::Status Embed(const EmbedArgs& args) = 0;
  virtual absl::Status RmsNorm(const RmsNormArgs& args) = 0;
  virtual absl::Status MatMul(const MatMulArgs& args) = 0;
  virtual absl::Status ExpertMatMul(const ExpertMatMulArgs& args) = 0;
  virtual absl::Status Rope(const RopeArgs& args) = 0;
  virtual absl::Status KvWrite(const KvWriteArgs& args) = 0;
  virtual absl::Status Attention(const AttentionArgs& args) = 0;
  virtual absl::Status GatedActivation(const GatedActivationArgs& args) = 0;
  virtual absl::Status Add(const AddArgs& args) = 0;
  virtual absl::Status Scale(const ScaleArgs& args) = 0;
  virtual absl::Status SoftCap(const SoftCapArgs& args) = 0;
  virtual absl::Status GatherRows(const GatherRowsArgs& args) = 0;
  virtual absl::Status ExpertRoute(const ExpertRouteArgs& args) = 0;
  virtual absl::Status ExpertCombine(const ExpertCombineArgs& args) = 0;

  virtual absl::Status Fence() = 0;
};

}  // namespace potluck::kernels
