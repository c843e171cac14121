#include "worker/profile/kernel_speeds.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>

#include "common/status_macros.h"
#include "worker/profile/best_seconds.h"
#include "worker/profile/layer_overhead.h"

namespace potluck::worker {
namespace {

using kernels::Buffer;
using kernels::DType;
using kernels::TensorView;
using kernels::Weight;

constexpr int64_t kCols = 4096;  // a multiple of every format's block
constexpr int64_t kRowsStep = 16;

// Sound for every format and as much work as any other: no byte makes a scale NaN or infinite.
std::vector<std::byte> WeightBytes(int64_t count) {
  std::vector<std::byte> bytes(count);
  uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>((state >> 24) & 0x3b);
  }
  return bytes;
}

int64_t StoredBytes(const Weight& weight) {
  return weight.rows() * kernels::BytesOf(weight.dtype(), weight.cols());
}

// Products of one input with some weights, and the memory that they need.
class Work {
 public:
  static absl::StatusOr<Work> Make(kernels::Backend& backend,
                                   std::span<const Weight* const> weights, int64_t tokens) {
    Work work;
    int64_t rows = 0;
    for (const Weight* weight : weights) rows += weight->rows();
    const int64_t cols = weights[0]->cols();
    POTLUCK_ASSIGN_OR_RETURN(work.x_, backend.Allocate(tokens * cols * 4, "a measurement's input"));
    POTLUCK_ASSIGN_OR_RETURN(work.y_,
                             backend.Allocate(tokens * rows * 4, "a measurement's output"));
    int64_t offset = 0;
    for (const Weight* weight : weights) {
      work.products_.push_back(
          {.weight = weight,
           .y = TensorView::Dense(work.y_.get(), offset, {tokens, weight->rows()})});
      offset += tokens * weight->rows() * 4;
      work.bytes_ += StoredBytes(*weight);
      work.operations_ += 2.0 * static_cast<double>(tokens * weight->rows() * cols);
    }
    work.input_ = TensorView::Dense(work.x_.get(), 0, {tokens, cols});
    std::vector<float> input(tokens * cols);
    for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<float>(i % 255) - 127;
    POTLUCK_RETURN_IF_ERROR(backend.Upload(std::as_bytes(std::span(input)), work.input_));
    return work;
  }

  absl::Status Run(kernels::Backend& backend) const {
    return backend.MatMul({.x = input_, .products = products_});
  }
  int64_t bytes() const { return bytes_; }
  double operations() const { return operations_; }

 private:
  std::unique_ptr<Buffer> x_, y_;
  TensorView input_;
  std::vector<kernels::Product> products_;
  int64_t bytes_ = 0;
  double operations_ = 0;
};

class Measurement {
 public:
  Measurement(kernels::Backend& backend, const Clock& clock, const SpeedOptions& options)
      : backend_(backend),
        clock_(clock),
        options_(options),
        bytes_(WeightBytes(std::max(options.weight_bytes, kRowsStep * kCols * 4))) {}

  absl::StatusOr<KernelSpeeds> Run() {
    POTLUCK_RETURN_IF_ERROR(
        backend_.Reserve({.max_tokens = options_.prefill_tokens, .max_input_dim = kCols}));
    POTLUCK_ASSIGN_OR_RETURN(const double stream_bytes_per_second, StreamBytesPerSecond());
    KernelSpeeds speeds;
    for (const kernels::DTypeTraits& format : kernels::WeightDTypes()) {
      absl::StatusOr<wire::DeviceProfile::Rate> rate = RateOf(format.dtype);
      if (absl::IsUnimplemented(rate.status())) continue;
      if (!rate.ok()) return rate.status();
      rate->decode_bytes_per_second =
          std::min(rate->decode_bytes_per_second, stream_bytes_per_second);
      speeds.rates.push_back(*rate);
    }
    if (speeds.rates.empty())
      return absl::InternalError("the device computes with none of the formats of weights");
    POTLUCK_ASSIGN_OR_RETURN(speeds.step_overhead_seconds, OverheadSeconds());
    POTLUCK_ASSIGN_OR_RETURN(speeds.layer_overhead_seconds,
                             MeasureLayerOverhead(backend_, clock_,
                                                  {.shared_bytes = options_.weight_bytes / 4,
                                                   .enough = options_.enough}));
    return speeds;
  }

 private:
  absl::StatusOr<std::unique_ptr<Weight>> Load(DType dtype, int64_t rows, int64_t cols) {
    const std::span<const std::byte> bytes(bytes_.data(), rows * kernels::BytesOf(dtype, cols));
    return backend_.LoadWeight({.name = "a measurement's weight",
                                .dtype = dtype,
                                .rows = rows,
                                .cols = cols,
                                .parts = {bytes}});
  }

  // Of about Options::weight_bytes.
  absl::StatusOr<std::unique_ptr<Weight>> Load(DType dtype) {
    const int64_t row_bytes = kernels::BytesOf(dtype, kCols);
    const int64_t steps = options_.weight_bytes / (row_bytes * kRowsStep);
    return Load(dtype, std::max<int64_t>(1, steps) * kRowsStep, kCols);
  }

  absl::StatusOr<double> SecondsOf(const Work& work) {
    return BestSeconds(backend_, clock_, options_.enough, [&] { return work.Run(backend_); });
  }

  absl::StatusOr<double> StreamBytesPerSecond() {
    std::vector<std::unique_ptr<Weight>> weights;
    std::vector<const Weight*> pointers;
    for (int64_t bytes = 0; bytes < options_.stream_bytes;) {
      POTLUCK_ASSIGN_OR_RETURN(std::unique_ptr<Weight> weight, Load(DType::kF16));
      bytes += StoredBytes(*weight);
      pointers.push_back(weight.get());
      weights.push_back(std::move(weight));
    }
    POTLUCK_ASSIGN_OR_RETURN(const Work work, Work::Make(backend_, pointers, 1));
    POTLUCK_ASSIGN_OR_RETURN(const double seconds, SecondsOf(work));
    return static_cast<double>(work.bytes()) / seconds;
  }

  absl::StatusOr<wire::DeviceProfile::Rate> RateOf(DType dtype) {
    POTLUCK_ASSIGN_OR_RETURN(const std::unique_ptr<Weight> weight, Load(dtype));
    const Weight* const only[] = {weight.get()};
    wire::DeviceProfile::Rate rate{.dtype = dtype};
    POTLUCK_ASSIGN_OR_RETURN(const Work decode, Work::Make(backend_, only, 1));
    POTLUCK_ASSIGN_OR_RETURN(const double decode_seconds, SecondsOf(decode));
    rate.decode_bytes_per_second = static_cast<double>(decode.bytes()) / decode_seconds;
    POTLUCK_ASSIGN_OR_RETURN(const Work prefill,
                             Work::Make(backend_, only, options_.prefill_tokens));
    POTLUCK_ASSIGN_OR_RETURN(const double prefill_seconds, SecondsOf(prefill));
    rate.prefill_operations_per_second = prefill.operations() / prefill_seconds;
    return rate;
  }

  // Of a product that is hardly any work, with the wait for its result.
  absl::StatusOr<double> OverheadSeconds() {
    constexpr int kTimes = 16;
    POTLUCK_ASSIGN_OR_RETURN(const std::unique_ptr<Weight> weight,
                             Load(DType::kF32, kRowsStep, kRowsStep));
    const Weight* const only[] = {weight.get()};
    POTLUCK_ASSIGN_OR_RETURN(const Work work, Work::Make(backend_, only, 1));
    const absl::Duration start = clock_.SinceStart();
    for (int i = 0; i < kTimes; ++i) {
      POTLUCK_RETURN_IF_ERROR(work.Run(backend_));
      POTLUCK_RETURN_IF_ERROR(backend_.Fence());
    }
    return absl::ToDoubleSeconds(clock_.SinceStart() - start) / kTimes;
  }

  kernels::Backend& backend_;
  const Clock& clock_;
  const SpeedOptions& options_;
  const std::vector<std::byte> bytes_;
};

}  // namespace

absl::StatusOr<KernelSpeeds> MeasureKernelSpeeds(kernels::Backend& backend, const Clock& clock,
                                                 const SpeedOptions& options) {
  return Measurement(backend, clock, options).Run();
}

}  // namespace potluck::worker
