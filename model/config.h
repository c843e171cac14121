// What a model is: every number and choice that the decoder's builder, the tokenizer and the
// sampler need, read from GGUF metadata (model/gguf) or from a Hugging Face config.json
// (model/safetensors).
//
// One builder is driven by these fields, so an architecture is a set of values here, not a function
// of its own. Letters for sizes: kernels/shapes.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace potluck::model {

enum class RopeStyle {
  kAdjacentPairs,  // rotates (x[2i], x[2i+1]): GGUF llama, mistral, chatglm, glm4
  kHalfSplit,      // rotates (x[i], x[i + n/2]): Hugging Face's, GPT-NeoX's
};

enum class RopeScalingKind { kNone, kLinear, kLlama3, kLongRope, kYarn };

struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  float factor = 1;
  float low_freq_factor = 1, high_freq_factor = 4;  // llama3
  int64_t original_context = 0;                     // llama3, longrope, yarn
  float attention_factor = 0;                       // longrope, yarn; 0 = derived from the others
  float beta_fast = 32, beta_slow = 1;              // yarn
  // longrope: one divisor per rotated pair, for contexts within and beyond original_context. Empty
  // where the file keeps them as tensors (GGUF's rope_factors_short/long.weight).
  std::vector<float> short_factors, long_factors;
};

enum class Activation { kSilu, kGeluTanh, kGeluErf };

// How an attention layer sees the past.
enum class AttentionKind : uint8_t { kFull, kWindow };

struct LayerConfig {
  AttentionKind attention = AttentionKind::kFull;
  float rope_theta = 10000;
  bool scale_rope = true;  // gemma3's window layers leave `rope_scaling` out
};

struct ExpertConfig {
  int num_experts = 0;  // 0: a dense FFN
  int num_experts_used = 0;
  int64_t expert_ffn_dim = 0;
  // Mixtral and qwen3moe: softmax over all experts, keep the best, divide by their sum where true.
  bool normalize_weights = true;
};

// Which of a text's rows, after the last norm, are its embedding.
enum class Pooling : uint8_t {
  kMean,   // of all; also where the model says nothing
  kFirst,  // the "CLS" token's
  kLast,
  kOther,  // a reranker's, or one that is not known here, or of rows that look ahead
};

struct ModelConfig {
  std::string architecture;  // GGUF's name: "llama", "qwen2", "gemma3", ...
  std::string name;          // of the model, for people

  int64_t num_layers = 0;
  int64_t model_dim = 0;
  int64_t ffn_dim = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;  // of keys and values alike
  int64_t vocab_size = 0;
  int64_t context_length = 0;  // what the model was trained for

  float norm_eps = 1e-5f;
  bool norm_adds_one =
      false;  // gains are stored as (1 + g): Hugging Face's gemma files. GGUF's hold 1 + g.
  bool pre_norms = true;    // norms before attention and FFN
  bool post_norms = false;  // and norms after them, before the residual sum: gemma2, gemma3, glm4
  bool qk_norm = false;     // RMSNorm of every head of q and k, before RoPE: qwen3, gemma3
  bool attention_bias = false;         // biases on q, k, v
  bool attention_output_bias = false;  // and on the output projection
  bool ffn_bias = false;
  bool tied_embeddings = false;  // the head is the embedding

  RopeStyle rope_style = RopeStyle::kHalfSplit;
  int64_t rope_dims = 0;  // the first so many of head_dim are rotated
  RopeScaling rope_scaling;
  std::vector<LayerConfig> layers;  // num_layers of them
  int64_t window = 0;               // positions that a kWindow layer sees, itself included

  Activation activation = Activation::kSilu;
  float embedding_scale = 1;    // gemma: sqrt(model_dim)
  float attention_scale = 0;    // of q·k; 1/sqrt(head_dim) almost everywhere
  float attention_softcap = 0;  // gemma2; 0 = none
  float logit_softcap = 0;      // gemma2; 0 = none
  float logit_scale = 1;
  ExpertConfig experts;
  Pooling pooling = Pooling::kMean;
};

// What the model's makers recommend for sampling (generation_config.json, GGUF's
// general.sampling.*).
struct SamplingDefaults {
  std::optional<float> temperature, top_p, min_p, repeat_penalty;
  std::optional<int> top_k;
  std::vector<int32_t> end_tokens;  // every id that ends a turn
};

}  // namespace potluck::model
