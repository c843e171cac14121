#include "model/config_check.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::model {
namespace {

absl::Status Invalid(std::string_view key, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("config key ", ToAbsl(key), " ", problem));
}

// Finite and within [min, max].
absl::Status CheckFloat(std::string_view key, float value, float min, float max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return Invalid(key,
                 absl::StrCat("is ", value, "; a number from ", min, " to ", max, " is expected"));
}

absl::Status CheckSizes(const ModelConfig& config, const ConfigKeys& keys) {
  POTLUCK_RETURN_IF_ERROR(CheckCount(keys.num_layers, config.num_layers, kMaxLayers));
  POTLUCK_RETURN_IF_ERROR(CheckCount(keys.model_dim, config.model_dim, kMaxDim));
  POTLUCK_RETURN_IF_ERROR(CheckCount(keys.num_heads, config.num_heads, kMaxHeads));
  POTLUCK_RETURN_IF_ERROR(CheckCount(keys.num_kv_heads, config.num_kv_heads, kMaxHeads));
  POTLUCK_RETURN_IF_ERROR(CheckCount(keys.head_dim, config.head_dim, kMaxHeads));
  if (config.num_heads * config.head_dim > kMaxDim) {
    return Invalid(keys.head_dim, absl::StrCat("is ", config.head_dim, " for each of ",
                                               config.num_heads, " heads; at most ", kMaxDim,
                                               " for all of them together are supported"));
  }
  POTLUCK_RETURN_IF_ERROR(CheckCount(keys.vocab_size, config.vocab_size, kMaxDim));
  POTLUCK_RETURN_IF_ERROR(CheckCount(keys.context_length, config.context_length, kMaxContext));
  if (config.num_heads % config.num_kv_heads != 0) {
    return Invalid(keys.num_kv_heads,
                   absl::StrCat("is ", config.num_kv_heads, ", which doesn't divide the ",
                                config.num_heads, " heads"));
  }
  if (config.experts.num_experts == 0) return CheckCount(keys.ffn_dim, config.ffn_dim, kMaxDim);
  POTLUCK_RETURN_IF_ERROR(CheckCount(keys.num_experts, config.experts.num_experts, kMaxHeads));
  POTLUCK_RETURN_IF_ERROR(CheckCount(keys.num_experts_used, config.experts.num_experts_used,
                                     config.experts.num_experts));
  return CheckCount(keys.expert_ffn_dim, config.experts.expert_ffn_dim, kMaxDim);
}

absl::Status CheckFactors(std::string_view key, const std::vector<float>& factors,
                          int64_t rope_dims) {
  if (factors.empty()) return absl::OkStatus();
  if (static_cast<int64_t>(factors.size()) != rope_dims / 2) {
    return Invalid(key, absl::StrCat("has ", factors.size(), " factors where ", rope_dims / 2,
                                     " pairs are rotated"));
  }
  for (const float factor : factors) {
    POTLUCK_RETURN_IF_ERROR(CheckFloat(key, factor, 1e-6f, 1e9f));
  }
  return absl::OkStatus();
}

absl::Status CheckRope(const ModelConfig& config, const ConfigKeys& keys) {
  if (config.rope_dims < 2 || config.rope_dims > config.head_dim || config.rope_dims % 2 != 0) {
    return Invalid(keys.rope_dims, absl::StrCat("makes ", config.rope_dims,
                                                " rotated dimensions; an even number from 2 to ",
                                                config.head_dim, " is expected"));
  }
  for (const LayerConfig& layer : config.layers) {
    POTLUCK_RETURN_IF_ERROR(CheckFloat(keys.rope_theta, layer.rope_theta, 1.0f, 1e15f));
  }
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.kind == RopeScalingKind::kNone) return absl::OkStatus();
  POTLUCK_RETURN_IF_ERROR(CheckFloat(keys.rope_scaling, scaling.factor, 1e-6f, 1e9f));
  POTLUCK_RETURN_IF_ERROR(CheckFloat(keys.rope_scaling, scaling.attention_factor, 0.0f, 1e6f));
  POTLUCK_RETURN_IF_ERROR(CheckFloat(keys.rope_scaling, scaling.beta_fast, 1e-6f, 1e6f));
  POTLUCK_RETURN_IF_ERROR(CheckFloat(keys.rope_scaling, scaling.beta_slow, 1e-6f, 1e6f));
  POTLUCK_RETURN_IF_ERROR(CheckFloat(keys.rope_scaling, scaling.low_freq_factor, 1e-6f, 1e6f));
  POTLUCK_RETURN_IF_ERROR(CheckFloat(keys.rope_scaling, scaling.high_freq_factor, 1e-6f, 1e6f));
  if (scaling.kind == RopeScalingKind::kLlama3 &&
      scaling.high_freq_factor <= scaling.low_freq_factor) {
    return Invalid(keys.rope_scaling, "has a high_freq_factor that is not above low_freq_factor");
  }
  if (scaling.kind != RopeScalingKind::kLinear &&
      (scaling.original_context < 2 || scaling.original_context > kMaxContext)) {
    return Invalid(keys.rope_scaling, absl::StrCat("has an original context of ",
                                                   scaling.original_context, " positions"));
  }
  POTLUCK_RETURN_IF_ERROR(CheckFactors(keys.rope_scaling, scaling.short_factors, config.rope_dims));
  return CheckFactors(keys.rope_scaling, scaling.long_factors, config.rope_dims);
}

}  // namespace

absl::Status CheckCount(std::string_view key, int64_t value, int64_t max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return Invalid(key, absl::StrCat("is ", value, "; a number from 1 to ", max, " is expected"));
}

absl::Status CheckConfig(const ModelConfig& config, const ConfigKeys& keys) {
  POTLUCK_RETURN_IF_ERROR(CheckSizes(config, keys));
  POTLUCK_RETURN_IF_ERROR(CheckFloat(keys.norm_eps, config.norm_eps, 1e-20f, 1.0f));
  POTLUCK_RETURN_IF_ERROR(CheckRope(config, keys));
  for (const LayerConfig& layer : config.layers) {
    if (layer.attention == AttentionKind::kWindow) {
      POTLUCK_RETURN_IF_ERROR(CheckCount(keys.window, config.window, kMaxContext));
    }
  }
  POTLUCK_RETURN_IF_ERROR(
      CheckFloat("of the attention's scale", config.attention_scale, 1e-9f, 1e9f));
  POTLUCK_RETURN_IF_ERROR(
      CheckFloat("of the attention's soft cap", config.attention_softcap, 0.0f, 1e9f));
  return CheckFloat("of the logits' soft cap", config.logit_softcap, 0.0f, 1e9f);
}

}  // namespace potluck::model
