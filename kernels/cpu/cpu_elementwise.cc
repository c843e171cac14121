#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "common/status_macros.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/float_kernels.h"
#include "kernels/numerics.h"
#include "kernels/numerics_loops.h"

namespace potluck::kernels {
namespace {

// What an element takes one core, about.
constexpr double kCheapNanoseconds = 0.25;  // memory-bound operations
constexpr double kFunctionNanoseconds = 1;  // an exp or tanh each
constexpr double kAngleNanoseconds = 4;     // a sine and a cosine
constexpr int64_t kPieceElements = 2048;    // of a row that threads may share
constexpr int64_t kRopeChunk = 64;          // pairs whose angles are kept at a time

// Calls body(row, begin, count) for pieces of rows.
template <typename Body>
void ForPieces(ThreadPool& threads, int64_t rows, int64_t columns, double element_nanoseconds,
               const Body& body) {
  const int64_t pieces = (columns + kPieceElements - 1) / kPieceElements;
  const int64_t length = std::min(columns, kPieceElements);
  threads.For(rows * pieces, element_nanoseconds * length, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = i % pieces * kPieceElements;
      body(i / pieces, begin, std::min(length, columns - begin));
    }
  });
}

// The cosines and sines of up to kRopeChunk pairs of one token.
void Angles(const FloatKernels& kernels, const float* inv_freq, float position, float magnitude,
            int64_t count, float* cosine, float* sine) {
  const auto in_reach = [&](float frequency) {
    return std::fabs(position * frequency) <= POTLUCK_LOOP_SINCOS_LIMIT;
  };
  if (std::all_of(inv_freq, inv_freq + count, in_reach)) {
    kernels.rope_angles(inv_freq, position, magnitude, count, cosine, sine);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    cosine[i] = Cos(position * inv_freq[i]) * magnitude;
    sine[i] = Sin(position * inv_freq[i]) * magnitude;
  }
}

void RopeToken(const FloatKernels& kernels, const RopeArgs& args, int64_t t) {
  const int64_t pairs = args.inv_freq.shape[0];
  std::array<float, kRopeChunk> cosine, sine;
  for (int64_t begin = 0; begin < pairs; begin += kRopeChunk) {
    const int64_t count = std::min(kRopeChunk, pairs - begin);
    Angles(kernels, args.inv_freq.host<float>() + begin, static_cast<float>(args.positions[t]),
           args.magnitude, count, cosine.data(), sine.data());
    for (int64_t h = 0; h < args.x.shape[1]; ++h) {
      float* x = FloatRow(args.x, t) + h * args.x.strides[1];
      if (args.adjacent_pairs) {
        kernels.rope_pairs(x + 2 * begin, cosine.data(), sine.data(), count);
      } else {
        kernels.rope_halves(x + begin, x + begin + pairs, cosine.data(), sine.data(), count);
      }
    }
  }
}

// The choice for one token whose probabilities are p.
void RouteToken(const ExpertRouteArgs& args, int64_t t, const float* p) {
  const int64_t num_experts = args.logits.shape[1], used = args.experts.shape[1];
  int32_t* experts = args.experts.host<int32_t>() + t * args.experts.strides[0];
  float* weights = FloatRow(args.weights, t);
  std::array<bool, kMaxExperts> chosen = {};
  float sum = 0;
  for (int64_t j = 0; j < used; ++j) {
    int64_t best = -1;
    for (int64_t e = 0; e < num_experts; ++e) {
      if (!chosen[e] && (best < 0 || p[e] > p[best])) best = e;
    }
    chosen[best] = true;
    experts[j] = static_cast<int32_t>(best);
    weights[j] = p[best];
    sum += p[best];
  }
  if (!args.normalize) return;
  for (int64_t j = 0; j < used; ++j) weights[j] = weights[j] / sum;
}

}  // namespace

absl::Status CpuBackend::RmsNorm(const RmsNormArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t dim = args.x.shape[1];
  threads_.For(args.x.shape[0], kCheapNanoseconds * dim, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      target_.floats->rms_norm(FloatRow(args.x, t), args.gain.host<float>(), args.eps, dim,
                               FloatRow(args.y, t));
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::Rope(const RopeArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const double token_nanoseconds =
      (kAngleNanoseconds + kCheapNanoseconds * 2 * args.x.shape[1]) * args.inv_freq.shape[0];
  threads_.For(args.x.shape[0], token_nanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) RopeToken(*target_.floats, args, t);
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::GatedActivation(const GatedActivationArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  ForPieces(threads_, args.y.shape[0], args.y.shape[1], kFunctionNanoseconds,
            [&](int64_t t, int64_t begin, int64_t count) {
              target_.floats->gated_activation(
                  static_cast<int>(args.function), FloatRow(args.gate, t) + begin,
                  FloatRow(args.up, t) + begin, count, FloatRow(args.y, t) + begin);
            });
  return absl::OkStatus();
}

absl::Status CpuBackend::Add(const AddArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  ForPieces(threads_, args.y.shape[0], args.y.shape[1], kCheapNanoseconds,
            [&](int64_t t, int64_t begin, int64_t count) {
              target_.floats->add(FloatRow(args.a, t) + begin, FloatRow(args.b, t) + begin, count,
                                  FloatRow(args.y, t) + begin);
            });
  return absl::OkStatus();
}

absl::Status CpuBackend::Scale(const ScaleArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  ForPieces(threads_, args.x.shape[0], args.x.shape[1], kCheapNanoseconds,
            [&](int64_t t, int64_t begin, int64_t count) {
              target_.floats->scale(FloatRow(args.x, t) + begin, args.factor, count);
            });
  return absl::OkStatus();
}

absl::Status CpuBackend::SoftCap(const SoftCapArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  ForPieces(threads_, args.x.shape[0], args.x.shape[1], kFunctionNanoseconds,
            [&](int64_t t, int64_t begin, int64_t count) {
              target_.floats->soft_cap(FloatRow(args.x, t) + begin, args.cap, count);
            });
  return absl::OkStatus();
}

absl::Status CpuBackend::GatherRows(const GatherRowsArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t dim = args.x.shape[1];
  if (dim == 0) return absl::OkStatus();
  threads_.For(args.y.shape[0], kCheapNanoseconds * dim, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(FloatRow(args.y, i), FloatRow(args.x, args.rows[i]), dim * sizeof(float));
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::ExpertRoute(const ExpertRouteArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t num_experts = args.logits.shape[1];
  const double token_nanoseconds = kFunctionNanoseconds * num_experts * args.experts.shape[1];
  threads_.For(args.logits.shape[0], token_nanoseconds, [&](int64_t begin, int64_t end) {
    std::array<float, kMaxExperts> p;
    for (int64_t t = begin; t < end; ++t) {
      target_.floats->softmax(FloatRow(args.logits, t), num_experts, p.data());
      RouteToken(args, t, p.data());
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::ExpertCombine(const ExpertCombineArgs& args) {
  POTLUCK_RETURN_IF_ERROR(Validate(args));
  const int64_t used = args.weights.shape[1];
  ForPieces(threads_, args.y.shape[0], args.y.shape[1], kCheapNanoseconds * used,
            [&](int64_t t, int64_t begin, int64_t count) {
              target_.floats->expert_combine(FloatRow(args.x, t * used) + begin, args.x.strides[0],
                                             FloatRow(args.weights, t), used, count,
                                             FloatRow(args.y, t) + begin);
            });
  return absl::OkStatus();
}

}  // namespace potluck::kernels
