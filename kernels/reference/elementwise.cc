#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "common/status_macros.h"
#include "kernels/numerics.h"
#include "kernels/reference/reference_backend.h"
#include "kernels/reference/sum_lanes.h"

namespace potluck::kernels {
namespace {

float Gate(GateFunction function, float x) {
  switch (function) {
    case GateFunction::kSilu:
      return x / (1.0f + Exp(-x));
    case GateFunction::kGeluTanh: {
      const float cubic = std::fma(0.044715f * x * x, x, x);
      return (0.5f * x) * (1.0f + Tanh(0.7978845608028654f * cubic));
    }
    case GateFunction::kGeluErf:
      return (0.5f * x) * (1.0f + Erf(x * 0.7071067811865476f));
  }
  return x;
}

std::vector<float> Softmax(const float* logits, int64_t count) {
  float max = -std::numeric_limits<float>::infinity();
  for (int64_t e = 0; e < count; ++e) max = logits[e] > max ? logits[e] : max;
  std::vector<float> p(count);
  std::array<float, 16> lanes = {};
  for (int64_t e = 0; e < count; ++e) {
    p[e] = Exp(logits[e] - max);
    lanes[e % 16] += p[e];
  }
  const float sum = SumLanes(lanes);
  for (float& value : p) value = value / sum;
  return p;
}

// The unchosen expert of largest probability, the first of equals; NaN is never larger.
int64_t BestExpert(const std::vector<float>& p, const std::vector<bool>& chosen) {
  int64_t best = -1;
  for (int64_t e = 0; e < static_cast<int64_t>(p.size()); ++e) {
    if (!chosen[e] && (best < 0 || p[e] > p[best])) best = e;
  }
  return best;
}

}  // namespace

absl::Status ReferenceBackend::RmsNorm(const RmsNormArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t dim = args.x.shape[1];
  const float* gain = args.gain.host<float>();
  for (int64_t t = 0; t < args.x.shape[0]; ++t) {
    const float* x = FloatRow(args.x, t);
    float* y = FloatRow(args.y, t);
    std::array<float, 16> lanes = {};
    for (int64_t d = 0; d < dim; ++d) lanes[d % 16] = std::fma(x[d], x[d], lanes[d % 16]);
    const float mean = SumLanes(lanes) / static_cast<float>(dim);
    const float r = 1.0f / std::sqrt(mean + args.eps);
    for (int64_t d = 0; d < dim; ++d) y[d] = (x[d] * r) * gain[d];
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::Rope(const RopeArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t pairs = args.inv_freq.shape[0];
  const float* inv_freq = args.inv_freq.host<float>();
  for (int64_t t = 0; t < args.x.shape[0]; ++t) {
    for (int64_t h = 0; h < args.x.shape[1]; ++h) {
      float* x = FloatRow(args.x, t) + h * args.x.strides[1];
      for (int64_t i = 0; i < pairs; ++i) {
        const float angle = static_cast<float>(args.positions[t]) * inv_freq[i];
        const float c = Cos(angle) * args.magnitude, s = Sin(angle) * args.magnitude;
        float& first = args.adjacent_pairs ? x[2 * i] : x[i];
        float& second = args.adjacent_pairs ? x[2 * i + 1] : x[i + pairs];
        const float a = first, b = second;
        first = std::fma(a, c, -(b * s));
        second = std::fma(b, c, a * s);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::GatedActivation(const GatedActivationArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  for (int64_t t = 0; t < args.y.shape[0]; ++t) {
    const float* gate = FloatRow(args.gate, t);
    const float* up = FloatRow(args.up, t);
    float* y = FloatRow(args.y, t);
    for (int64_t f = 0; f < args.y.shape[1]; ++f) y[f] = Gate(args.function, gate[f]) * up[f];
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::Add(const AddArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  for (int64_t t = 0; t < args.y.shape[0]; ++t) {
    for (int64_t d = 0; d < args.y.shape[1]; ++d) {
      FloatRow(args.y, t)[d] = FloatRow(args.a, t)[d] + FloatRow(args.b, t)[d];
    }
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::Scale(const ScaleArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  for (int64_t t = 0; t < args.x.shape[0]; ++t) {
    for (int64_t d = 0; d < args.x.shape[1]; ++d) FloatRow(args.x, t)[d] *= args.factor;
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::SoftCap(const SoftCapArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  for (int64_t t = 0; t < args.x.shape[0]; ++t) {
    float* x = FloatRow(args.x, t);
    for (int64_t d = 0; d < args.x.shape[1]; ++d) x[d] = args.cap * Tanh(x[d] / args.cap);
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::GatherRows(const GatherRowsArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  for (int64_t i = 0; i < args.y.shape[0]; ++i) {
    std::copy_n(FloatRow(args.x, args.rows[i]), args.x.shape[1], FloatRow(args.y, i));
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::ExpertRoute(const ExpertRouteArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t used = args.experts.shape[1];
  for (int64_t t = 0; t < args.logits.shape[0]; ++t) {
    const std::vector<float> p = Softmax(FloatRow(args.logits, t), args.logits.shape[1]);
    std::vector<bool> chosen(p.size());
    int32_t* experts = args.experts.host<int32_t>() + t * args.experts.strides[0];
    float* weights = FloatRow(args.weights, t);
    float sum = 0;
    for (int64_t j = 0; j < used; ++j) {
      const int64_t best = BestExpert(p, chosen);
      chosen[best] = true;
      experts[j] = static_cast<int32_t>(best);
      weights[j] = p[best];
      sum = sum + p[best];
    }
    for (int64_t j = 0; args.normalize && j < used; ++j) weights[j] = weights[j] / sum;
  }
  return absl::OkStatus();
}

absl::Status ReferenceBackend::ExpertCombine(const ExpertCombineArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t used = args.weights.shape[1];
  for (int64_t t = 0; t < args.y.shape[0]; ++t) {
    for (int64_t d = 0; d < args.y.shape[1]; ++d) {
      float sum = 0;
      for (int64_t j = 0; j < used; ++j) {
        sum = std::fma(FloatRow(args.weights, t)[j], FloatRow(args.x, t * used + j)[d], sum);
      }
      FloatRow(args.y, t)[d] = sum;
    }
  }
  return absl::OkStatus();
}

}  // namespace potluck::kernels
