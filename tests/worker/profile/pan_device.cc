#include "tests/worker/profile/pan_device.h"

#include <algorithm>

namespace potluck::worker {
namespace {

class PanWeight final : public kernels::Weight {
 public:
  explicit PanWeight(const kernels::WeightData& data) : Weight(data) {}
};

}  // namespace

kernels::DeviceInfo PanDevice::info() const {
  return {.name = "pan:0",
          .hardware = "a cast-iron pan",
          .target = "pan",
          .numerics_class = "pan-1",
          .total_memory_bytes = int64_t{8} << 30,
          .free_memory_bytes = int64_t{6} << 30};
}

absl::StatusOr<std::unique_ptr<kernels::Weight>> PanDevice::LoadWeight(
    const kernels::WeightData& data) {
  const auto format = speeds_.formats.find(data.dtype);
  if (format != speeds_.formats.end() && format->second == 0)
    return absl::UnimplementedError("a pan lacks this format");
  const int64_t bytes = data.rows * kernels::BytesOf(data.dtype, data.cols);
  if (data.parts.size() != 1 || static_cast<int64_t>(data.parts[0].size()) != bytes)
    return absl::InvalidArgumentError("a weight of a wrong size");
  return std::make_unique<PanWeight>(data);
}

absl::Status PanDevice::MatMul(const kernels::MatMulArgs& args) {
  if (broken_) return absl::InternalError("the pan is broken");
  ++num_products_;
  const auto tokens = static_cast<double>(args.x.shape[0]);
  double bytes = 0, operations = 0, rate = speeds_.cache_bytes_per_second;
  for (const kernels::Product& product : args.products) {
    const kernels::Weight& weight = *product.weight;
    const auto values = static_cast<double>(weight.rows() * weight.cols());
    bytes += static_cast<double>(weight.rows() * kernels::BytesOf(weight.dtype(), weight.cols()));
    operations += 2 * tokens * values;
    const auto format = speeds_.formats.find(weight.dtype());
    if (format != speeds_.formats.end()) rate = std::min(rate, format->second);
  }
  if (bytes > static_cast<double>(speeds_.cache_bytes))
    rate = std::min(rate, speeds_.memory_bytes_per_second);
  const double seconds = std::max(bytes / rate, operations / speeds_.operations_per_second);
  const double sharing = bytes > (64 << 10) ? speeds_.sharing_seconds : 0;
  clock_.Advance(slowness_ * absl::Seconds(speeds_.overhead_seconds + sharing + seconds));
  return absl::OkStatus();
}

}  // namespace potluck::worker
