#include "model/decoder/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "kernels/exact_math.h"
#include "model/graph/tensor_floats.h"

namespace potluck::model {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

// Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended.
double Llama3Frequency(double frequency, const RopeScaling& scaling) {
  const double wavelength = kTwoPi / frequency;
  const auto original = static_cast<double>(scaling.original_context);
  const double low_wavelength = original / scaling.low_freq_factor;
  const double high_wavelength = original / scaling.high_freq_factor;
  if (wavelength < high_wavelength) return frequency;
  if (wavelength > low_wavelength) return frequency / scaling.factor;
  const double smooth = (original / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

// The pair that turns `rotations` times over the original context.
double YarnPair(double rotations, int64_t dims, double theta, const RopeScaling& scaling) {
  const auto original = static_cast<double>(scaling.original_context);
  return static_cast<double>(dims) * kernels::ExactLog(original / (rotations * kTwoPi)) /
         (2 * kernels::ExactLog(theta));
}

void ScaleYarn(std::vector<double>& frequencies, int64_t dims, double theta,
               const RopeScaling& scaling) {
  const double low = std::max(std::floor(YarnPair(scaling.beta_fast, dims, theta, scaling)), 0.0);
  const double high = std::min(std::ceil(YarnPair(scaling.beta_slow, dims, theta, scaling)),
                               static_cast<double>(dims - 1));
  const double width = high > low ? high - low : 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double stretched = std::clamp((static_cast<double>(i) - low) / width, 0.0, 1.0);
    frequencies[i] = frequencies[i] / scaling.factor * stretched + frequencies[i] * (1 - stretched);
  }
}

// How much longer vectors get so that attention keeps its sharpness over a stretched context.
double Magnitude(const RopeScaling& scaling) {
  if (scaling.attention_factor > 0) return scaling.attention_factor;
  if (scaling.factor <= 1) return 1;
  const double log_factor = kernels::ExactLog(scaling.factor);
  if (scaling.kind == RopeScalingKind::kYarn) return 0.1 * log_factor + 1;
  if (scaling.kind == RopeScalingKind::kLongRope) {
    return std::sqrt(1 +
                     log_factor / kernels::ExactLog(static_cast<double>(scaling.original_context)));
  }
  return 1;
}

// The file's own divisor per pair; empty where it has none.
absl::StatusOr<std::vector<float>> Divisors(const ModelConfig& config, const WeightSource& source,
                                            int64_t context_length) {
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.kind == RopeScalingKind::kLongRope) {
    const bool is_long = context_length > scaling.original_context;
    const std::vector<float>& from_config = is_long ? scaling.long_factors : scaling.short_factors;
    if (!from_config.empty()) return from_config;
    POTLUCK_ASSIGN_OR_RETURN(
        const WeightTensor* tensor,
        source.Get(is_long ? "rope_factors_long.weight" : "rope_factors_short.weight"));
    return FloatsOf(*tensor);
  }
  const WeightTensor* tensor = source.Find("rope_freqs.weight");
  if (tensor == nullptr) return std::vector<float>();
  return FloatsOf(*tensor);
}

}  // namespace

absl::StatusOr<RopeTable> MakeRopeTable(const ModelConfig& config, const LayerConfig& layer,
                                        const WeightSource& source, int64_t context_length) {
  const RopeScaling& scaling = config.rope_scaling;
  std::vector<double> frequencies(config.rope_dims / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = kernels::ExactPow(
        layer.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(config.rope_dims));
  }
  RopeTable table{.inv_freq = {},
                  .magnitude = 1,
                  .adjacent_pairs = config.rope_style == RopeStyle::kAdjacentPairs};
  if (layer.scale_rope) {
    POTLUCK_ASSIGN_OR_RETURN(const std::vector<float> divisors,
                             Divisors(config, source, context_length));
    if (!divisors.empty() && divisors.size() != frequencies.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the model has ", divisors.size(), " RoPE factors for ", frequencies.size(), " pairs"));
    }
    for (size_t i = 0; i < divisors.size(); ++i) {
      if (!(divisors[i] > 0))
        return absl::InvalidArgumentError("the model has a RoPE factor that is not positive");
      frequencies[i] /= divisors[i];
    }
    if (scaling.kind == RopeScalingKind::kLinear) {
      for (double& frequency : frequencies) frequency /= scaling.factor;
    } else if (scaling.kind == RopeScalingKind::kLlama3 && divisors.empty()) {
      for (double& frequency : frequencies) frequency = Llama3Frequency(frequency, scaling);
    } else if (scaling.kind == RopeScalingKind::kYarn) {
      ScaleYarn(frequencies, config.rope_dims, layer.rope_theta, scaling);
    }
    table.magnitude = static_cast<float>(Magnitude(scaling));
  }
  for (const double frequency : frequencies)
    table.inv_freq.push_back(static_cast<float>(frequency));
  return table;
}

}  // namespace potluck::model
