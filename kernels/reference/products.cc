// Products and embedding exactly as matmul.h and embed.h write them down.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "common/status_macros.h"
#include "kernels/formats/decode.h"
#include "kernels/formats/integer_block.h"
#include "kernels/host_buffer.h"
#include "kernels/reference/reference_backend.h"

namespace potluck::kernels {
namespace {

// The file's bytes, expert after expert.
class ReferenceWeight final : public Weight {
 public:
  ReferenceWeight(const WeightData& data, std::unique_ptr<Buffer> bytes)
      : Weight(data), bytes_(std::move(bytes)) {}

  const std::byte* Row(int64_t expert, int64_t row) const {
    return bytes_->host() + (expert * rows() + row) * BytesOf(dtype(), cols());
  }

 private:
  std::unique_ptr<Buffer> bytes_;
};

struct QuantizedBlock {
  float d = 0;
  int q[kMaxBlockValues] = {};
};

QuantizedBlock QuantizeBlock(const float* x, int values) {
  QuantizedBlock block;
  float amax = 0;
  for (int k = 0; k < values; ++k) {
    if (!std::isfinite(x[k])) {
      block.d = std::numeric_limits<float>::quiet_NaN();
      return block;
    }
    amax = std::max(amax, std::fabs(x[k]));
  }
  if (amax < 0x1p-100f) return block;
  block.d = amax / 127.0f;
  const float inverse = 127.0f / amax;
  for (int k = 0; k < values; ++k) block.q[k] = static_cast<int>(std::nearbyintf(x[k] * inverse));
  return block;
}

float DotInt8(DType dtype, const std::byte* row, const float* x, int64_t in_dim) {
  const IntegerTraits& traits = IntegerTraitsOf(dtype);
  const UnpackFunction unpack = UnpackFunctionOf(dtype);
  IntegerBlock w;
  float acc = 0;
  for (int64_t b = 0; b < in_dim / traits.values; ++b) {
    unpack(row + b * Traits(dtype).block_bytes, w);
    const QuantizedBlock xq = QuantizeBlock(x + b * traits.values, traits.values);
    int32_t isum = 0, msum = 0;
    for (int k = 0; k < traits.values; ++k) {
      const int j = k / traits.sub_values;
      isum += w.sub_scale[j] * traits.Code(w.index[k]) * xq.q[k];
      msum += w.sub_min[j] * xq.q[k];
    }
    acc = std::fmaf(w.dw * xq.d, static_cast<float>(isum), acc);
    if (traits.has_min) acc = std::fmaf(w.mw * xq.d, static_cast<float>(msum), acc);
  }
  return acc;
}

float DotFloat(const float* x, const float* w, int64_t count) {
  float acc = 0;
  for (int64_t k = 0; k < count; ++k) acc = std::fmaf(x[k], w[k], acc);
  return acc;
}

float DotRow(const ReferenceWeight& weight, int64_t expert, int64_t row, const float* x,
             Precision precision) {
  const std::byte* bytes = weight.Row(expert, row);
  if (IsQuantized(weight.dtype()) && precision == Precision::kInt8) {
    return DotInt8(weight.dtype(), bytes, x, weight.cols());
  }
  std::vector<float> w(weight.cols());
  DecodeRow(weight.dtype(), bytes, weight.cols(), w.data());
  return DotFloat(x, w.data(), weight.cols());
}

float LowRankAddend(const LowRank& adapter, const float* x, int64_t in_dim, int64_t n) {
  const int64_t rank = adapter.a.shape[0];
  std::vector<float> down(rank);
  for (int64_t r = 0; r < rank; ++r) down[r] = DotFloat(x, FloatRow(adapter.a, r), in_dim);
  return adapter.scale * DotFloat(down.data(), FloatRow(adapter.b, n), rank);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Weight>> ReferenceBackend::LoadWeight(const WeightData& data) {
  POTLUCK_RETURN_IF_ERROR(CheckWeightShape(data));
  const int64_t part_bytes = data.rows * BytesOf(data.dtype, data.cols);
  POTLUCK_ASSIGN_OR_RETURN(auto bytes,
                           AllocateHostBuffer(data.num_experts * part_bytes, data.name));
  for (int64_t e = 0; e < data.num_experts; ++e) {
    POTLUCK_RETURN_IF_ERROR(CheckWeightRows(data, e, 0, data.rows));
    std::memcpy(bytes->host() + e * part_bytes, data.parts[e].data(), part_bytes);
  }
  return std::make_unique<ReferenceWeight>(data, std::move(bytes));
}

absl::Status ReferenceBackend::Embed(const EmbedArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const auto& weight = static_cast<const ReferenceWeight&>(*args.weight);
  for (size_t t = 0; t < args.ids.size(); ++t) {
    float* y = FloatRow(args.y, t);
    DecodeRow(weight.dtype(), weight.Row(0, args.ids[t]), weight.cols(), y);
    if (args.scale == 1) continue;
    for (int64_t d = 0; d < weight.cols(); ++d) y[d] *= args.scale;
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::MatMul(const MatMulArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t in_dim = args.x.shape[1];
  for (const Product& product : args.products) {
    const auto& weight = static_cast<const ReferenceWeight&>(*product.weight);
    for (int64_t t = 0; t < args.x.shape[0]; ++t) {
      const float* x = FloatRow(args.x, t);
      float* y = FloatRow(product.y, t);
      const int slot = product.adapters.token_slot.empty() ? 0 : product.adapters.token_slot[t];
      for (int64_t n = 0; n < weight.rows(); ++n) {
        y[n] = DotRow(weight, 0, n, x, args.precision);
        if (slot > 0) {
          y[n] += LowRankAddend(product.adapters.adapters[slot - 1], x, in_dim, n);
        }
        if (product.bias.rank != 0) y[n] += product.bias.host<float>()[n];
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::ExpertMatMul(const ExpertMatMulArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t num_tokens = args.experts.shape[0], choices = args.experts.shape[1];
  const bool shared_rows = args.x.shape[0] == num_tokens;
  for (const Product& product : args.products) {
    const auto& weight = static_cast<const ReferenceWeight&>(*product.weight);
    for (int64_t t = 0; t < num_tokens; ++t) {
      for (int64_t j = 0; j < choices; ++j) {
        const int32_t expert = args.experts.host<int32_t>()[t * args.experts.strides[0] + j];
        const float* x = FloatRow(args.x, shared_rows ? t : t * choices + j);
        float* y = FloatRow(product.y, t * choices + j);
        for (int64_t n = 0; n < weight.rows(); ++n) {
          y[n] = DotRow(weight, expert, n, x, args.precision);
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace potluck::kernels
