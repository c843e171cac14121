#include "model/gguf/gguf_config.h"

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/architectures.h"
#include "model/config_check.h"

namespace potluck::model {
namespace {

// Looks keys up under the architecture's prefix.
class Reader {
 public:
  Reader(const GgufFile& file, const ArchitectureTraits& traits)
      : file_(file), metadata_(file.metadata()), traits_(traits) {}

  const ArchitectureTraits& traits() const { return traits_; }
  std::string Key(std::string_view name) const {
    return absl::StrCat(ToAbsl(traits_.name), ".", ToAbsl(name));
  }
  const GgufValue* Find(std::string_view name) const { return metadata_.Find(Key(name)); }
  bool HasTensor(std::string_view name) const { return file_.FindListed(name) != nullptr; }
  const GgufFile& file() const { return file_; }

  // A number, or an array that says the same number for every layer. Missing: `fallback`, or
  // NotFound.
  absl::StatusOr<int64_t> Int(std::string_view name,
                              std::optional<int64_t> fallback = std::nullopt) const {
    const GgufValue* value = Find(name);
    if (value == nullptr && fallback) return *fallback;
    if (value == nullptr || !value->is_array()) return metadata_.Int(Key(name));
    POTLUCK_ASSIGN_OR_RETURN(const std::vector<int64_t> values, metadata_.Ints(Key(name)));
    if (values.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("metadata key ", Key(name), " is empty"));
    }
    for (const int64_t layer : values) {
      if (layer != values.front()) {
        return absl::UnimplementedError(
            absl::StrCat("metadata key ", Key(name),
                         " differs from layer to layer; models with equal layers are supported"));
      }
    }
    return values.front();
  }

  absl::StatusOr<float> Float(std::string_view name,
                              std::optional<float> fallback = std::nullopt) const {
    if (Find(name) == nullptr && fallback) return *fallback;
    POTLUCK_ASSIGN_OR_RETURN(const double value, metadata_.Float(Key(name)));
    return static_cast<float>(value);
  }
  absl::StatusOr<bool> Bool(std::string_view name, bool fallback) const {
    if (Find(name) == nullptr) return fallback;
    return metadata_.Bool(Key(name));
  }

 private:
  const GgufFile& file_;
  const GgufMetadata& metadata_;
  const ArchitectureTraits& traits_;
};

// Rows of the embedding where the file has it: converters cut rows that no token has, and leave the
// key as it was.
absl::StatusOr<int64_t> VocabSize(const Reader& reader) {
  const GgufTensor* embedding = reader.file().FindListed("token_embd.weight");
  if (embedding != nullptr && embedding->info.shape.size() == 2) return embedding->info.shape[0];
  if (reader.Find("vocab_size") != nullptr) return reader.Int("vocab_size");
  const GgufValue* tokens = reader.file().metadata().Find("tokenizer.ggml.tokens");
  if (tokens != nullptr) return static_cast<int64_t>(tokens->count());
  return reader.Int("vocab_size");
}

absl::Status ReadSizes(const Reader& reader, ModelConfig& config) {
  POTLUCK_ASSIGN_OR_RETURN(const int64_t blocks, reader.Int("block_count"));
  // Layers at the end that only predict further tokens, as some glm4 files have.
  POTLUCK_ASSIGN_OR_RETURN(const int64_t extra, reader.Int("nextn_predict_layers", 0));
  POTLUCK_RETURN_IF_ERROR(CheckCount(reader.Key("block_count"), blocks, kMaxLayers));
  if (extra < 0 || extra >= blocks) {
    return absl::InvalidArgumentError(absl::StrCat("metadata key ",
                                                   reader.Key("nextn_predict_layers"), " is ",
                                                   extra, " of ", blocks, " layers"));
  }
  config.num_layers = blocks - extra;
  POTLUCK_ASSIGN_OR_RETURN(config.model_dim, reader.Int("embedding_length"));
  POTLUCK_ASSIGN_OR_RETURN(config.context_length, reader.Int("context_length"));
  POTLUCK_ASSIGN_OR_RETURN(config.num_heads, reader.Int("attention.head_count"));
  POTLUCK_ASSIGN_OR_RETURN(config.num_kv_heads,
                           reader.Int("attention.head_count_kv", config.num_heads));
  POTLUCK_RETURN_IF_ERROR(
      CheckCount(reader.Key("attention.head_count"), config.num_heads, kMaxHeads));
  POTLUCK_RETURN_IF_ERROR(CheckCount(reader.Key("embedding_length"), config.model_dim, kMaxDim));
  if (reader.Find("attention.key_length") == nullptr && config.model_dim % config.num_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("metadata key ", reader.Key("attention.head_count"), " is ", config.num_heads,
                     ", which doesn't divide the embedding length of ", config.model_dim));
  }
  POTLUCK_ASSIGN_OR_RETURN(config.head_dim,
                           reader.Int("attention.key_length", config.model_dim / config.num_heads));
  POTLUCK_RETURN_IF_ERROR(
      CheckCount(reader.Key("attention.key_length"), config.head_dim, kMaxHeads));
  POTLUCK_ASSIGN_OR_RETURN(const int64_t value_dim,
                           reader.Int("attention.value_length", config.head_dim));
  if (value_dim != config.head_dim) {
    return absl::UnimplementedError(
        absl::StrCat("metadata key ", reader.Key("attention.value_length"), " is ", value_dim,
                     " where keys have ", config.head_dim, "; equal lengths are supported"));
  }
  POTLUCK_ASSIGN_OR_RETURN(config.norm_eps, reader.Float("attention.layer_norm_rms_epsilon"));
  POTLUCK_ASSIGN_OR_RETURN(config.vocab_size, VocabSize(reader));
  return absl::OkStatus();
}

absl::Status ReadFfn(const Reader& reader, ModelConfig& config) {
  POTLUCK_ASSIGN_OR_RETURN(const int64_t num_experts, reader.Int("expert_count", 0));
  if (num_experts == 0 && reader.traits().experts) {
    return absl::InvalidArgumentError(
        absl::StrCat("metadata key ", reader.Key("expert_count"), " is missing or 0"));
  }
  if (num_experts == 0) {
    POTLUCK_ASSIGN_OR_RETURN(config.ffn_dim, reader.Int("feed_forward_length"));
    return absl::OkStatus();
  }
  POTLUCK_RETURN_IF_ERROR(CheckCount(reader.Key("expert_count"), num_experts, kMaxHeads));
  POTLUCK_ASSIGN_OR_RETURN(config.ffn_dim, reader.Int("feed_forward_length", 0));
  POTLUCK_ASSIGN_OR_RETURN(const int64_t used, reader.Int("expert_used_count"));
  POTLUCK_RETURN_IF_ERROR(CheckCount(reader.Key("expert_used_count"), used, num_experts));
  config.experts.num_experts = static_cast<int>(num_experts);
  config.experts.num_experts_used = static_cast<int>(used);
  // Mixtral's experts are as wide as the key says; qwen3moe's old files give the sum of those used.
  const int64_t fallback = reader.traits().name == "llama" ? config.ffn_dim : config.ffn_dim / used;
  POTLUCK_ASSIGN_OR_RETURN(config.experts.expert_ffn_dim,
                           reader.Int("expert_feed_forward_length", fallback));
  const absl::StatusOr<bool> normalize =
      reader.file().metadata().Bool(reader.Key("expert_weights_norm"));
  if (!normalize.ok() && !absl::IsNotFound(normalize.status())) return normalize.status();
  config.experts.normalize_weights = normalize.value_or(true);
  return absl::OkStatus();
}

absl::Status ReadRopeScaling(const Reader& reader, ModelConfig& config) {
  RopeScaling& scaling = config.rope_scaling;
  std::string_view type = "linear";
  if (reader.Find("rope.scaling.type") != nullptr) {
    POTLUCK_ASSIGN_OR_RETURN(type,
                             reader.file().metadata().String(reader.Key("rope.scaling.type")));
  }
  POTLUCK_ASSIGN_OR_RETURN(const float old_factor, reader.Float("rope.scale_linear", 0.0f));
  POTLUCK_ASSIGN_OR_RETURN(scaling.factor, reader.Float("rope.scaling.factor", old_factor));
  if (scaling.factor == 0) scaling.factor = 1;
  POTLUCK_ASSIGN_OR_RETURN(
      scaling.original_context,
      reader.Int("rope.scaling.original_context_length", config.context_length));
  POTLUCK_ASSIGN_OR_RETURN(scaling.attention_factor,
                           reader.Float("rope.scaling.attn_factor", 0.0f));
  if (type == "longrope" || reader.HasTensor("rope_factors_long.weight") ||
      reader.HasTensor("rope_factors_short.weight")) {
    scaling.kind = RopeScalingKind::kLongRope;
    scaling.factor = static_cast<float>(config.context_length) /
                     static_cast<float>(std::max<int64_t>(scaling.original_context, 1));
  } else if (type == "yarn") {
    scaling.kind = RopeScalingKind::kYarn;
    POTLUCK_ASSIGN_OR_RETURN(scaling.beta_fast,
                             reader.Float("rope.scaling.yarn_beta_fast", scaling.beta_fast));
    POTLUCK_ASSIGN_OR_RETURN(scaling.beta_slow,
                             reader.Float("rope.scaling.yarn_beta_slow", scaling.beta_slow));
    // The file's number comes on top of what the factor implies.
    if (scaling.attention_factor != 0 && scaling.factor > 1) {
      scaling.attention_factor *= 1 + 0.1f * std::log(scaling.factor);
    }
  } else if (type == "linear") {
    if (scaling.factor != 1) scaling.kind = RopeScalingKind::kLinear;
  } else if (type != "none") {
    return absl::UnimplementedError(
        absl::StrCat("metadata key ", reader.Key("rope.scaling.type"), " is \"", Printable(type),
                     "\"; supported are none, linear, yarn and longrope"));
  }
  return absl::OkStatus();
}

// Which layers have the window: what the file lists, else every n-th one sees everything.
absl::Status ReadWindow(const Reader& reader, ModelConfig& config) {
  const int64_t fallback = reader.traits().name == "gemma2" ? 4096 : 0;
  POTLUCK_ASSIGN_OR_RETURN(config.window, reader.Int("attention.sliding_window", fallback));
  if (config.window == 0) return absl::OkStatus();
  const GgufValue* pattern = reader.Find("attention.sliding_window_pattern");
  if (pattern != nullptr && pattern->is_array()) {
    const std::optional<std::vector<bool>> windows = pattern->Bools();
    if (!windows || static_cast<int64_t>(windows->size()) < config.num_layers) {
      return absl::InvalidArgumentError(absl::StrCat("metadata key ",
                                                     reader.Key("attention.sliding_window_pattern"),
                                                     " must be a number or one bool per layer"));
    }
    for (int64_t i = 0; i < config.num_layers; ++i) {
      if ((*windows)[i]) config.layers[i].attention = AttentionKind::kWindow;
    }
    return absl::OkStatus();
  }
  POTLUCK_ASSIGN_OR_RETURN(const int64_t every, reader.Int("attention.sliding_window_pattern",
                                                           reader.traits().window_pattern));
  if (every < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "metadata key ", reader.Key("attention.sliding_window_pattern"), " is ", every));
  }
  for (int64_t i = 0; i < config.num_layers; ++i) {
    if (every == 0 || (i + 1) % every != 0) config.layers[i].attention = AttentionKind::kWindow;
  }
  return absl::OkStatus();
}

absl::Status ReadLayers(const Reader& reader, ModelConfig& config) {
  config.layers.resize(config.num_layers);
  config.rope_style = reader.traits().gguf_rope;
  const auto rope_dims =
      static_cast<int64_t>(static_cast<double>(config.head_dim) * reader.traits().rotary_fraction);
  POTLUCK_ASSIGN_OR_RETURN(config.rope_dims, reader.Int("rope.dimension_count", rope_dims));
  POTLUCK_RETURN_IF_ERROR(ReadRopeScaling(reader, config));
  POTLUCK_RETURN_IF_ERROR(ReadWindow(reader, config));
  POTLUCK_ASSIGN_OR_RETURN(const float theta, reader.Float("rope.freq_base", 10000.0f));
  const float own = reader.traits().window_rope_theta;
  POTLUCK_ASSIGN_OR_RETURN(const float window_theta,
                           reader.Float("rope.freq_base_swa", own == 0 ? theta : own));
  for (LayerConfig& layer : config.layers) {
    const bool window = layer.attention == AttentionKind::kWindow;
    layer.rope_theta = window ? window_theta : theta;
    layer.scale_rope = !(window && own != 0);
  }
  return absl::OkStatus();
}

// gemma2 27b and gemma3 27b scale by model_dim / num_heads instead of head_dim; no key says so.
float DefaultAttentionScale(const ModelConfig& config) {
  const bool is_27b = (config.architecture == "gemma2" && config.num_layers == 46) ||
                      (config.architecture == "gemma3" && config.num_layers == 62);
  const int64_t dim = is_27b ? config.model_dim / config.num_heads : config.head_dim;
  return 1.0f / std::sqrt(static_cast<float>(std::max<int64_t>(dim, 1)));
}

// llama.cpp's numbers: none, mean, cls, last, rank.
Pooling PoolingOf(int64_t number) {
  constexpr Pooling kKinds[] = {Pooling::kMean, Pooling::kMean, Pooling::kFirst, Pooling::kLast};
  return number >= 0 && number < std::ssize(kKinds) ? kKinds[number] : Pooling::kOther;
}

absl::Status ReadChoices(const Reader& reader, ModelConfig& config) {
  const ArchitectureTraits& traits = reader.traits();
  config.post_norms = traits.post_norms;
  config.qk_norm = traits.qk_norm;
  config.activation = traits.activation;
  if (traits.scaled_embeddings) {
    config.embedding_scale = std::sqrt(static_cast<float>(config.model_dim));
  }
  POTLUCK_ASSIGN_OR_RETURN(config.attention_scale,
                           reader.Float("attention.scale", DefaultAttentionScale(config)));
  if (config.attention_scale == 0) config.attention_scale = DefaultAttentionScale(config);
  POTLUCK_ASSIGN_OR_RETURN(config.attention_softcap,
                           reader.Float("attn_logit_softcapping", traits.attention_softcap));
  POTLUCK_ASSIGN_OR_RETURN(config.logit_softcap,
                           reader.Float("final_logit_softcapping", traits.logit_softcap));
  const bool has_tensors = !reader.file().listed().empty();
  config.attention_bias =
      has_tensors ? reader.HasTensor("blk.0.attn_q.bias") || reader.HasTensor("blk.0.attn_qkv.bias")
                  : traits.qkv_bias;
  config.attention_output_bias = reader.HasTensor("blk.0.attn_output.bias");
  config.ffn_bias = reader.HasTensor("blk.0.ffn_down.bias");
  config.tied_embeddings = traits.always_tied || !reader.HasTensor("output.weight");
  POTLUCK_ASSIGN_OR_RETURN(const int64_t pooling, reader.Int("pooling_type", 0));
  config.pooling = PoolingOf(pooling);
  POTLUCK_ASSIGN_OR_RETURN(const bool is_causal, reader.Bool("attention.causal", true));
  if (!is_causal) config.pooling = Pooling::kOther;
  return absl::OkStatus();
}

absl::Status Check(const Reader& reader, const ModelConfig& config) {
  const std::string num_layers = reader.Key("block_count");
  const std::string model_dim = reader.Key("embedding_length");
  const std::string ffn_dim = reader.Key("feed_forward_length");
  const std::string num_heads = reader.Key("attention.head_count");
  const std::string num_kv_heads = reader.Key("attention.head_count_kv");
  const std::string head_dim = reader.Key("attention.key_length");
  const std::string vocab_size = reader.Key("vocab_size");
  const std::string context_length = reader.Key("context_length");
  const std::string norm_eps = reader.Key("attention.layer_norm_rms_epsilon");
  const std::string rope_dims = reader.Key("rope.dimension_count");
  const std::string rope_theta = reader.Key("rope.freq_base");
  const std::string rope_scaling = reader.Key("rope.scaling");
  const std::string window = reader.Key("attention.sliding_window");
  const std::string num_experts = reader.Key("expert_count");
  const std::string num_experts_used = reader.Key("expert_used_count");
  const std::string expert_ffn_dim = reader.Key("expert_feed_forward_length");
  return CheckConfig(config, {.num_layers = num_layers,
                              .model_dim = model_dim,
                              .ffn_dim = ffn_dim,
                              .num_heads = num_heads,
                              .num_kv_heads = num_kv_heads,
                              .head_dim = head_dim,
                              .vocab_size = vocab_size,
                              .context_length = context_length,
                              .norm_eps = norm_eps,
                              .rope_dims = rope_dims,
                              .rope_theta = rope_theta,
                              .rope_scaling = rope_scaling,
                              .window = window,
                              .num_experts = num_experts,
                              .num_experts_used = num_experts_used,
                              .expert_ffn_dim = expert_ffn_dim});
}

absl::StatusOr<ModelConfig> ReadConfig(const GgufFile& file) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string_view architecture,
                           file.metadata().String("general.architecture"));
  const ArchitectureTraits* traits = FindArchitecture(architecture);
  if (traits == nullptr) {
    return absl::UnimplementedError(absl::StrCat("the architecture \"", Printable(architecture),
                                                 "\" is not supported; supported are ",
                                                 SupportedArchitectures()));
  }
  const Reader reader(file, *traits);
  ModelConfig config;
  config.architecture = std::string(architecture);
  config.name = std::string(file.metadata().String("general.name").value_or(""));
  POTLUCK_RETURN_IF_ERROR(ReadSizes(reader, config));
  POTLUCK_RETURN_IF_ERROR(ReadFfn(reader, config));
  POTLUCK_RETURN_IF_ERROR(ReadLayers(reader, config));
  POTLUCK_RETURN_IF_ERROR(ReadChoices(reader, config));
  POTLUCK_RETURN_IF_ERROR(Check(reader, config));
  return config;
}

}  // namespace

absl::StatusOr<ModelConfig> ConfigFromGguf(const GgufFile& file) {
  absl::StatusOr<ModelConfig> config = ReadConfig(file);
  if (!config.ok()) return Annotate(config.status(), file.path());
  return config;
}

}  // namespace potluck::model
