#include "model/architectures.h"

namespace potluck::model {
namespace {

constexpr RopeStyle kPairs = RopeStyle::kAdjacentPairs;

constexpr ArchitectureTraits kArchitectures[] = {
    {.name = "llama", .model_type = "llama", .gguf_rope = kPairs},
    {.name = "llama", .model_type = "mistral", .gguf_rope = kPairs},
    {.name = "llama", .model_type = "mixtral", .gguf_rope = kPairs, .experts = true},
    {.name = "qwen2", .model_type = "qwen2", .qkv_bias = true},
    {.name = "qwen3", .model_type = "qwen3", .qk_norm = true},
    {.name = "qwen3moe", .model_type = "qwen3_moe", .qk_norm = true, .experts = true},
    {.name = "gemma",
     .model_type = "gemma",
     .activation = Activation::kGeluTanh,
     .scaled_embeddings = true,
     .hf_norm_adds_one = true,
     .always_tied = true},
    {.name = "gemma2",
     .model_type = "gemma2",
     .activation = Activation::kGeluTanh,
     .scaled_embeddings = true,
     .post_norms = true,
     .hf_norm_adds_one = true,
     .always_tied = true,
     .window_pattern = 2,
     .attention_softcap = 50,
     .logit_softcap = 30},
    {.name = "gemma3",
     .model_type = "gemma3_text",
     .activation = Activation::kGeluTanh,
     .scaled_embeddings = true,
     .post_norms = true,
     .qk_norm = true,
     .hf_norm_adds_one = true,
     .window_pattern = 6,
     .window_rope_theta = 10000},
    {.name = "phi3", .model_type = "phi3"},
    {.name = "chatglm",
     .model_type = "glm",
     .gguf_rope = kPairs,
     .hf_rope = kPairs,
     .rotary_fraction = 0.5,
     .qkv_bias = true},
    {.name = "glm4",
     .model_type = "glm4",
     .gguf_rope = kPairs,
     .hf_rope = kPairs,
     .rotary_fraction = 0.5,
     .post_norms = true,
     .qkv_bias = true},
};

void AppendName(std::string_view name, std::string& names) {
  if (!names.empty()) names += ", ";
  names += name;
}

}  // namespace

std::span<const ArchitectureTraits> Architectures() { return kArchitectures; }

const ArchitectureTraits* FindArchitecture(std::string_view gguf_name) {
  for (const ArchitectureTraits& traits : kArchitectures) {
    if (traits.name == gguf_name) return &traits;
  }
  return nullptr;
}

const ArchitectureTraits* FindModelType(std::string_view hf_model_type) {
  // A picture model whose text part is a gemma3.
  if (hf_model_type == "gemma3") hf_model_type = "gemma3_text";
  for (const ArchitectureTraits& traits : kArchitectures) {
    if (traits.model_type == hf_model_type) return &traits;
  }
  return nullptr;
}

std::string SupportedArchitectures() {
  std::string names;
  std::string_view previous;
  for (const ArchitectureTraits& traits : kArchitectures) {
    if (traits.name != previous) AppendName(traits.name, names);
    previous = traits.name;
  }
  return names + " (mistral and mixtral files say llama)";
}

std::string SupportedModelTypes() {
  std::string names;
  for (const ArchitectureTraits& traits : kArchitectures) AppendName(traits.model_type, names);
  return names + ", gemma3";
}

}  // namespace potluck::model
