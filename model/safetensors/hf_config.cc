#include "model/safetensors/hf_config.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <string>
#include <unordered_set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/architectures.h"
#include "model/config_check.h"
#include "model/safetensors/hf_rope.h"

namespace potluck::model {
namespace {

// What a configuration class of transformers fills in where config.json is silent. 0: the key must
// be there, or has a rule of its own.
struct Defaults {
  std::string_view model_type;
  int64_t num_heads = 0, num_kv_heads = 0;  // no num_kv_heads: as many as heads
  int64_t head_dim = 0;                     // none: model_dim / num_heads
  int64_t vocab_size = 0, context_length = 0, window = 0;
  float norm_eps = 1e-6f;
  bool tied = false;
  bool output_bias = true;  // attention_bias holds for the output projection, too
};

constexpr Defaults kDefaults[] = {
    {.model_type = "llama"},
    {.model_type = "mistral", .num_kv_heads = 8, .window = 4096},
    {.model_type = "mixtral", .num_kv_heads = 8, .norm_eps = 1e-5f},
    {.model_type = "qwen2", .output_bias = false},
    {.model_type = "qwen3", .head_dim = 128},
    {.model_type = "qwen3_moe"},
    {.model_type = "gemma", .head_dim = 256, .tied = true},
    {.model_type = "gemma2", .num_kv_heads = 4, .head_dim = 256, .window = 4096, .tied = true},
    {.model_type = "gemma3_text",
     .num_heads = 8,
     .num_kv_heads = 4,
     .head_dim = 256,
     .vocab_size = 262208,
     .context_length = 131072,
     .window = 4096,
     .tied = true},
    {.model_type = "phi3", .norm_eps = 1e-5f, .output_bias = false},
    {.model_type = "glm",
     .num_kv_heads = 2,
     .head_dim = 128,
     .norm_eps = 1.5625e-7f,
     .output_bias = false},
    {.model_type = "glm4",
     .num_kv_heads = 2,
     .head_dim = 128,
     .norm_eps = 1.5625e-7f,
     .output_bias = false},
};

const Defaults& DefaultsOf(std::string_view model_type) {
  return *std::find_if(std::begin(kDefaults), std::end(kDefaults) - 1,
                       [&](const Defaults& row) { return row.model_type == model_type; });
}

// For a key that must be there where the class has no number of its own.
std::optional<int64_t> OrRequired(int64_t fallback) {
  return fallback == 0 ? std::nullopt : std::optional<int64_t>(fallback);
}

// One reader per config: the text part's object, with what its family assumes.
struct Reader {
  const JsonFields& fields;
  const ArchitectureTraits& traits;
  const Defaults& defaults;

  bool Is(std::string_view model_type) const { return traits.model_type == model_type; }
};

absl::Status ReadSizes(const Reader& reader, ModelConfig& config) {
  const JsonFields& fields = reader.fields;
  const Defaults& defaults = reader.defaults;
  POTLUCK_ASSIGN_OR_RETURN(config.num_layers, fields.Int("num_hidden_layers"));
  POTLUCK_ASSIGN_OR_RETURN(config.model_dim, fields.Int("hidden_size"));
  POTLUCK_ASSIGN_OR_RETURN(config.ffn_dim, fields.Int("intermediate_size"));
  POTLUCK_ASSIGN_OR_RETURN(config.num_heads,
                           fields.Int("num_attention_heads", OrRequired(defaults.num_heads)));
  POTLUCK_RETURN_IF_ERROR(CheckCount("num_hidden_layers", config.num_layers, kMaxLayers));
  POTLUCK_RETURN_IF_ERROR(CheckCount("hidden_size", config.model_dim, kMaxDim));
  POTLUCK_RETURN_IF_ERROR(CheckCount("num_attention_heads", config.num_heads, kMaxHeads));
  // JSON's null means "as many as heads" even where the class has a number of its own.
  const bool says_none = fields.Has("num_key_value_heads") || defaults.num_kv_heads == 0;
  POTLUCK_ASSIGN_OR_RETURN(
      config.num_kv_heads,
      fields.Int("num_key_value_heads", says_none ? config.num_heads : defaults.num_kv_heads));
  int64_t head_dim = config.model_dim / config.num_heads;
  if (!fields.Has("head_dim") && defaults.head_dim != 0) head_dim = defaults.head_dim;
  POTLUCK_ASSIGN_OR_RETURN(config.head_dim, fields.Int("head_dim", head_dim));
  POTLUCK_RETURN_IF_ERROR(CheckCount("head_dim", config.head_dim, kMaxHeads));
  POTLUCK_ASSIGN_OR_RETURN(config.vocab_size,
                           fields.Int("vocab_size", OrRequired(defaults.vocab_size)));
  POTLUCK_ASSIGN_OR_RETURN(config.context_length, fields.Int("max_position_embeddings",
                                                             OrRequired(defaults.context_length)));
  POTLUCK_ASSIGN_OR_RETURN(const double norm_eps,
                           fields.Number("rms_norm_eps", reader.defaults.norm_eps));
  config.norm_eps = static_cast<float>(norm_eps);
  return absl::OkStatus();
}

absl::Status ReadExperts(const Reader& reader, ModelConfig& config) {
  if (!reader.traits.experts) return absl::OkStatus();
  const JsonFields& fields = reader.fields;
  const bool qwen = reader.Is("qwen3_moe");
  const char* count_key = qwen && fields.Has("num_experts") ? "num_experts" : "num_local_experts";
  POTLUCK_ASSIGN_OR_RETURN(const int64_t count, fields.Int(count_key));
  POTLUCK_ASSIGN_OR_RETURN(const int64_t used, fields.Int("num_experts_per_tok"));
  POTLUCK_RETURN_IF_ERROR(CheckCount(count_key, count, kMaxHeads));
  POTLUCK_RETURN_IF_ERROR(CheckCount("num_experts_per_tok", used, count));
  config.experts.num_experts = static_cast<int>(count);
  config.experts.num_experts_used = static_cast<int>(used);
  config.experts.expert_ffn_dim = config.ffn_dim;
  if (!qwen) return absl::OkStatus();
  POTLUCK_ASSIGN_OR_RETURN(config.experts.expert_ffn_dim, fields.Int("moe_intermediate_size"));
  POTLUCK_ASSIGN_OR_RETURN(config.experts.normalize_weights, fields.Bool("norm_topk_prob", false));
  POTLUCK_ASSIGN_OR_RETURN(const int64_t step, fields.Int("decoder_sparse_step", 1));
  const Json* dense = fields.Find("mlp_only_layers");
  if (step != 1 || (dense != nullptr && !dense->empty())) {
    return absl::UnimplementedError(
        "config keys decoder_sparse_step and mlp_only_layers make some layers dense; models with "
        "experts in every layer are supported");
  }
  return absl::OkStatus();
}

// Layers that the file lists by name.
absl::Status ReadLayerTypes(const Json& types, ModelConfig& config) {
  if (!types.is_array() || static_cast<int64_t>(types.size()) < config.num_layers) {
    return absl::InvalidArgumentError(
        absl::StrCat("config key layer_types must be a list of ", config.num_layers, " names"));
  }
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string type = StringValue(&types[i]).value_or("");
    if (type != "sliding_attention" && type != "full_attention") {
      return absl::UnimplementedError(
          absl::StrCat("config key layer_types has \"", Printable(type, 40),
                       "\"; supported are full_attention and sliding_attention"));
    }
    if (type == "sliding_attention") config.layers[i].attention = AttentionKind::kWindow;
  }
  return absl::OkStatus();
}

absl::Status ReadWindow(const Reader& reader, ModelConfig& config) {
  const JsonFields& fields = reader.fields;
  config.layers.resize(config.num_layers);
  if (reader.Is("llama") || reader.Is("gemma") || reader.Is("glm") || reader.Is("glm4")) {
    return absl::OkStatus();
  }
  const bool qwen = reader.Is("qwen2") || reader.Is("qwen3") || reader.Is("qwen3_moe");
  if (qwen) {
    POTLUCK_ASSIGN_OR_RETURN(const bool use, fields.Bool("use_sliding_window", false));
    if (!use) return absl::OkStatus();
  }
  POTLUCK_ASSIGN_OR_RETURN(
      config.window,
      fields.Int("sliding_window", fields.Has("sliding_window") ? 0 : reader.defaults.window));
  if (config.window == 0) return absl::OkStatus();
  const bool mixed = reader.traits.window_pattern != 0 || reader.Is("qwen2") || reader.Is("qwen3");
  const Json* types = mixed ? fields.Find("layer_types") : nullptr;
  if (types != nullptr) return ReadLayerTypes(*types, config);
  POTLUCK_ASSIGN_OR_RETURN(const int64_t full_below, fields.Int("max_window_layers", int64_t{28}));
  const char* pattern_key =
      fields.Has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
  int64_t every = reader.traits.window_pattern;
  if (reader.Is("gemma3_text")) {
    POTLUCK_ASSIGN_OR_RETURN(every, fields.Int(pattern_key, every));
    POTLUCK_RETURN_IF_ERROR(CheckCount(pattern_key, every, kMaxLayers));
  }
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const bool full = every != 0 ? (i + 1) % every == 0
                                 : (reader.Is("qwen2") || reader.Is("qwen3")) && i < full_below;
    if (!full) config.layers[i].attention = AttentionKind::kWindow;
  }
  return absl::OkStatus();
}

absl::StatusOr<Activation> ReadActivation(const Reader& reader) {
  const bool gemma = reader.traits.activation == Activation::kGeluTanh;
  const char* key =
      gemma && reader.fields.Has("hidden_activation") ? "hidden_activation" : "hidden_act";
  POTLUCK_ASSIGN_OR_RETURN(const std::string name,
                           reader.fields.String(key, gemma ? "gelu_pytorch_tanh" : "silu"));
  if (name == "silu" || name == "swish") return Activation::kSilu;
  // Gemma's first files say "gelu" and mean the approximation.
  if (name == "gelu_pytorch_tanh" || name == "gelu_new" || (name == "gelu" && gemma)) {
    return Activation::kGeluTanh;
  }
  if (name == "gelu") return Activation::kGeluErf;
  return absl::UnimplementedError(
      absl::StrCat("config key ", key, " is \"", Printable(name, 40),
                   "\"; supported are silu, gelu and gelu_pytorch_tanh"));
}

// A soft cap: the family's where the key is missing, none where it is null.
absl::StatusOr<float> ReadSoftcap(const Reader& reader, const char* key, float family) {
  POTLUCK_ASSIGN_OR_RETURN(const double cap,
                           reader.fields.Number(key, reader.fields.Has(key) ? 0.0 : family));
  return static_cast<float>(cap);
}

absl::Status ReadChoices(const Reader& reader, ModelConfig& config) {
  const JsonFields& fields = reader.fields;
  const ArchitectureTraits& traits = reader.traits;
  config.norm_adds_one = traits.hf_norm_adds_one;
  config.post_norms = traits.post_norms;
  config.qk_norm = traits.qk_norm;
  POTLUCK_ASSIGN_OR_RETURN(config.activation, ReadActivation(reader));
  if (traits.scaled_embeddings) {
    config.embedding_scale = std::sqrt(static_cast<float>(config.model_dim));
  }
  double scaled_dim = static_cast<double>(config.head_dim);
  if (reader.Is("gemma2") || reader.Is("gemma3_text")) {
    POTLUCK_ASSIGN_OR_RETURN(scaled_dim, fields.Number("query_pre_attn_scalar", 256.0));
  }
  config.attention_scale = static_cast<float>(1 / std::sqrt(scaled_dim));
  if (reader.Is("gemma2") || reader.Is("gemma3_text")) {
    POTLUCK_ASSIGN_OR_RETURN(config.attention_softcap, ReadSoftcap(reader, "attn_logit_softcapping",
                                                                   traits.attention_softcap));
    POTLUCK_ASSIGN_OR_RETURN(config.logit_softcap,
                             ReadSoftcap(reader, "final_logit_softcapping", traits.logit_softcap));
  }
  config.attention_bias = reader.Is("qwen2");
  if (!reader.Is("qwen2") && !reader.Is("phi3")) {
    POTLUCK_ASSIGN_OR_RETURN(config.attention_bias, fields.Bool("attention_bias", traits.qkv_bias));
  }
  config.attention_output_bias = config.attention_bias && reader.defaults.output_bias;
  if (reader.Is("llama")) {
    POTLUCK_ASSIGN_OR_RETURN(config.ffn_bias, fields.Bool("mlp_bias", false));
  }
  POTLUCK_ASSIGN_OR_RETURN(config.tied_embeddings,
                           fields.Bool("tie_word_embeddings", reader.defaults.tied));
  return absl::OkStatus();
}

constexpr ConfigKeys kKeys = {
    .num_layers = "num_hidden_layers",
    .model_dim = "hidden_size",
    .ffn_dim = "intermediate_size",
    .num_heads = "num_attention_heads",
    .num_kv_heads = "num_key_value_heads",
    .head_dim = "head_dim",
    .vocab_size = "vocab_size",
    .context_length = "max_position_embeddings",
    .norm_eps = "rms_norm_eps",
    .rope_dims = "partial_rotary_factor",
    .rope_theta = "rope_theta",
    .rope_scaling = "rope_parameters (or rope_scaling)",
    .window = "sliding_window",
    .num_experts = "num_experts",
    .num_experts_used = "num_experts_per_tok",
    .expert_ffn_dim = "moe_intermediate_size",
};

void AppendIds(const Json* value, std::vector<int32_t>& ids) {
  if (value == nullptr) return;
  std::unordered_set<int64_t> seen(ids.begin(), ids.end());
  const auto append = [&](const Json& item) {
    const std::optional<int64_t> id = IntValue(&item);
    if (id && *id >= 0 && *id <= kMaxDim && seen.insert(*id).second) {
      ids.push_back(static_cast<int32_t>(*id));
    }
  };
  if (!value->is_array()) return append(*value);
  for (const Json& item : *value) append(item);
}

std::optional<float> Within(const Json* value, double min, double max) {
  const std::optional<double> number = NumberValue(value);
  if (!number || !(*number >= min && *number <= max)) return std::nullopt;
  return static_cast<float>(*number);
}

}  // namespace

absl::StatusOr<ModelConfig> ConfigFromHf(const Json& config_json) {
  if (!config_json.is_object()) {
    return absl::InvalidArgumentError("the config is not a JSON object");
  }
  const std::optional<std::string> type = StringValue(FindKey(config_json, "model_type"));
  if (!type) return absl::InvalidArgumentError("config key model_type is missing");
  const ArchitectureTraits* traits = FindModelType(*type);
  if (traits == nullptr) {
    return absl::UnimplementedError(absl::StrCat("the model type \"", Printable(*type),
                                                 "\" is not supported; supported are ",
                                                 SupportedModelTypes()));
  }
  const Json* text = FindKey(config_json, "text_config");
  const JsonFields fields(text != nullptr && text->is_object() ? *text : config_json);
  const Reader reader{fields, *traits, DefaultsOf(traits->model_type)};
  ModelConfig config;
  config.architecture = std::string(traits->name);
  POTLUCK_RETURN_IF_ERROR(ReadSizes(reader, config));
  POTLUCK_RETURN_IF_ERROR(ReadExperts(reader, config));
  POTLUCK_RETURN_IF_ERROR(ReadWindow(reader, config));
  POTLUCK_RETURN_IF_ERROR(ReadHfRope(fields, *traits, config));
  POTLUCK_RETURN_IF_ERROR(ReadChoices(reader, config));
  POTLUCK_RETURN_IF_ERROR(CheckConfig(config, kKeys));
  return config;
}

Pooling PoolingFromHf(const Json& pooling, const Json& config) {
  if (BoolValue(FindKey(config, "use_bidirectional_attention")).value_or(false) ||
      !BoolValue(FindKey(config, "is_causal")).value_or(true))
    return Pooling::kOther;
  constexpr std::pair<const char*, Pooling> kModes[] = {
      {"pooling_mode_mean_tokens", Pooling::kMean},
      {"pooling_mode_cls_token", Pooling::kFirst},
      {"pooling_mode_lasttoken", Pooling::kLast},
      {"pooling_mode_max_tokens", Pooling::kOther},
      {"pooling_mode_mean_sqrt_len_tokens", Pooling::kOther},
      {"pooling_mode_weightedmean_tokens", Pooling::kOther},
  };
  std::optional<Pooling> found;
  for (const auto& [mode, kind] : kModes) {
    if (!BoolValue(FindKey(pooling, mode)).value_or(false)) continue;
    found = found.has_value() ? Pooling::kOther : kind;  // several are put side by side
  }
  return found.value_or(Pooling::kMean);
}

SamplingDefaults SamplingDefaultsFromHf(const Json& generation, const Json& config) {
  SamplingDefaults defaults;
  defaults.temperature = Within(FindKey(generation, "temperature"), 0, 100);
  defaults.top_p = Within(FindKey(generation, "top_p"), 1e-6, 1);
  defaults.min_p = Within(FindKey(generation, "min_p"), 0, 1);
  defaults.repeat_penalty = Within(FindKey(generation, "repetition_penalty"), 1e-3, 100);
  const std::optional<int64_t> top_k = IntValue(FindKey(generation, "top_k"));
  if (top_k && *top_k >= 0 && *top_k <= 1 << 30) defaults.top_k = static_cast<int>(*top_k);
  if (BoolValue(FindKey(generation, "do_sample")) == false) defaults.temperature = 0;
  AppendIds(FindKey(generation, "eos_token_id"), defaults.end_tokens);
  if (defaults.end_tokens.empty()) AppendIds(FindKey(config, "eos_token_id"), defaults.end_tokens);
  const Json* text = FindKey(config, "text_config");
  if (defaults.end_tokens.empty() && text != nullptr) {
    AppendIds(FindKey(*text, "eos_token_id"), defaults.end_tokens);
  }
  return defaults;
}

}  // namespace potluck::model
