#include "model/safetensors/hf_rope.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/config_check.h"

namespace potluck::model {
namespace {

template <typename T>
absl::StatusOr<T> Typed(std::string_view key, const Json* value, std::optional<T> fallback,
                        std::optional<T> (*get)(const Json*), absl::string_view kind) {
  if (value == nullptr && fallback) return *std::move(fallback);
  if (value == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("config key ", ToAbsl(key), " is missing"));
  }
  std::optional<T> result = get(value);
  if (!result) {
    return absl::InvalidArgumentError(
        absl::StrCat("config key ", ToAbsl(key), " is not ", kind, " but ", value->type_name()));
  }
  return *std::move(result);
}

absl::StatusOr<std::vector<float>> ReadFactors(const JsonFields& rope, const char* key) {
  const Json* list = rope.Find(key);
  if (list == nullptr || !list->is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat("config key ", key, " is not a list of numbers"));
  }
  std::vector<float> factors;
  for (const Json& item : *list) {
    const std::optional<double> factor = NumberValue(&item);
    if (!factor) {
      return absl::InvalidArgumentError(
          absl::StrCat("config key ", key, " is not a list of numbers"));
    }
    factors.push_back(static_cast<float>(*factor));
  }
  return factors;
}

absl::Status ReadYarn(const JsonFields& rope, RopeScaling& scaling) {
  POTLUCK_ASSIGN_OR_RETURN(const double beta_fast, rope.Number("beta_fast", 32.0));
  POTLUCK_ASSIGN_OR_RETURN(const double beta_slow, rope.Number("beta_slow", 1.0));
  scaling.beta_fast = static_cast<float>(beta_fast);
  scaling.beta_slow = static_cast<float>(beta_slow);
  POTLUCK_ASSIGN_OR_RETURN(const double mscale, rope.Number("mscale", 0.0));
  POTLUCK_ASSIGN_OR_RETURN(const double mscale_all, rope.Number("mscale_all_dim", 0.0));
  if (scaling.attention_factor == 0 && mscale != 0 && mscale_all != 0 && scaling.factor > 1) {
    const double log_factor = std::log(static_cast<double>(scaling.factor));
    scaling.attention_factor =
        static_cast<float>((0.1 * mscale * log_factor + 1) / (0.1 * mscale_all * log_factor + 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<RopeScalingKind> ReadKind(const JsonFields& rope, const ArchitectureTraits& traits) {
  const char* key = rope.Find("rope_type") != nullptr ? "rope_type" : "type";
  POTLUCK_ASSIGN_OR_RETURN(const std::string type, rope.String(key, "default"));
  if (type == "default") return RopeScalingKind::kNone;
  if (type == "linear") return RopeScalingKind::kLinear;
  if (type == "llama3") return RopeScalingKind::kLlama3;
  if (type == "longrope" || type == "su") return RopeScalingKind::kLongRope;
  // The first phi3 files call it yarn.
  if (type == "yarn") {
    return traits.name == "phi3" ? RopeScalingKind::kLongRope : RopeScalingKind::kYarn;
  }
  return absl::UnimplementedError(
      absl::StrCat("config key rope_type is \"", Printable(type, 40),
                   "\"; supported are default, linear, llama3, longrope and yarn"));
}

absl::Status ReadScaling(const JsonFields& fields, const JsonFields& rope,
                         const ArchitectureTraits& traits, ModelConfig& config) {
  RopeScaling& scaling = config.rope_scaling;
  POTLUCK_ASSIGN_OR_RETURN(scaling.kind, ReadKind(rope, traits));
  if (scaling.kind == RopeScalingKind::kNone) return absl::OkStatus();
  POTLUCK_ASSIGN_OR_RETURN(const int64_t outer_context,
                           fields.Int("original_max_position_embeddings", config.context_length));
  POTLUCK_ASSIGN_OR_RETURN(scaling.original_context,
                           rope.Int("original_max_position_embeddings", outer_context));
  POTLUCK_RETURN_IF_ERROR(
      CheckCount("original_max_position_embeddings", scaling.original_context, kMaxContext));
  const bool longrope = scaling.kind == RopeScalingKind::kLongRope;
  const std::optional<double> ratio =
      longrope ? std::optional<double>(static_cast<double>(config.context_length) /
                                       static_cast<double>(scaling.original_context))
               : std::nullopt;
  POTLUCK_ASSIGN_OR_RETURN(const double factor, rope.Number("factor", ratio));
  scaling.factor = static_cast<float>(factor);
  POTLUCK_ASSIGN_OR_RETURN(const double attention, rope.Number("attention_factor", 0.0));
  scaling.attention_factor = static_cast<float>(attention);
  if (longrope) {
    POTLUCK_ASSIGN_OR_RETURN(scaling.short_factors, ReadFactors(rope, "short_factor"));
    POTLUCK_ASSIGN_OR_RETURN(scaling.long_factors, ReadFactors(rope, "long_factor"));
  } else if (scaling.kind == RopeScalingKind::kYarn) {
    return ReadYarn(rope, scaling);
  } else if (scaling.kind == RopeScalingKind::kLlama3) {
    POTLUCK_ASSIGN_OR_RETURN(const double low, rope.Number("low_freq_factor"));
    POTLUCK_ASSIGN_OR_RETURN(const double high, rope.Number("high_freq_factor"));
    scaling.low_freq_factor = static_cast<float>(low);
    scaling.high_freq_factor = static_cast<float>(high);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> JsonFields::Int(std::string_view key,
                                        std::optional<int64_t> fallback) const {
  return Typed(key, Find(key), fallback, IntValue, "an integer");
}

absl::StatusOr<double> JsonFields::Number(std::string_view key,
                                          std::optional<double> fallback) const {
  return Typed(key, Find(key), fallback, NumberValue, "a number");
}

absl::StatusOr<bool> JsonFields::Bool(std::string_view key, bool fallback) const {
  return Typed(key, Find(key), std::optional<bool>(fallback), BoolValue, "true or false");
}

absl::StatusOr<std::string> JsonFields::String(std::string_view key,
                                               std::string_view fallback) const {
  return Typed(key, Find(key), std::optional<std::string>(fallback), StringValue, "a string");
}

absl::Status ReadHfRope(const JsonFields& fields, const ArchitectureTraits& traits,
                        ModelConfig& config) {
  config.rope_style = traits.hf_rope;
  // Version 5 has one object with everything, per kind of layer where they differ; before, theta
  // and the rotated fraction stood beside an object with the scaling.
  const Json none = Json::object();
  const Json* all = fields.Find("rope_parameters");
  if (all == nullptr) all = fields.Find("rope_scaling");
  if (all == nullptr) all = &none;
  if (!all->is_object()) {
    return absl::InvalidArgumentError("config key rope_parameters (or rope_scaling) is no object");
  }
  const Json* full = FindKey(*all, "full_attention");
  const Json* window = FindKey(*all, "sliding_attention");
  if ((full != nullptr && !full->is_object()) || (window != nullptr && !window->is_object())) {
    return absl::InvalidArgumentError(
        "config key rope_parameters has a kind of layer that is no object");
  }
  const JsonFields rope(full != nullptr ? *full : *all);
  const double family_theta = traits.model_type == "mixtral"  ? 1e6
                              : traits.window_rope_theta != 0 ? 1e6
                                                              : 1e4;
  POTLUCK_ASSIGN_OR_RETURN(const double outer_theta, fields.Number("rope_theta", family_theta));
  POTLUCK_ASSIGN_OR_RETURN(const double theta, rope.Number("rope_theta", outer_theta));
  double window_theta = theta;
  if (traits.window_rope_theta != 0) {
    POTLUCK_ASSIGN_OR_RETURN(window_theta,
                             fields.Number("rope_local_base_freq", traits.window_rope_theta));
  }
  if (window != nullptr) {
    POTLUCK_ASSIGN_OR_RETURN(window_theta, JsonFields(*window).Number("rope_theta", window_theta));
  }
  POTLUCK_ASSIGN_OR_RETURN(const double outer_fraction,
                           fields.Number("partial_rotary_factor", traits.rotary_fraction));
  POTLUCK_ASSIGN_OR_RETURN(const double fraction,
                           rope.Number("partial_rotary_factor", outer_fraction));
  if (!(fraction > 0 && fraction <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("config key partial_rotary_factor is ", fraction,
                                                   "; a number up to 1 is expected"));
  }
  config.rope_dims = static_cast<int64_t>(static_cast<double>(config.head_dim) * fraction);
  POTLUCK_RETURN_IF_ERROR(ReadScaling(fields, rope, traits, config));
  for (LayerConfig& layer : config.layers) {
    const bool is_window = layer.attention == AttentionKind::kWindow;
    layer.rope_theta = static_cast<float>(is_window ? window_theta : theta);
    layer.scale_rope = !(is_window && traits.window_rope_theta != 0);
  }
  return absl::OkStatus();
}

}  // namespace potluck::model
