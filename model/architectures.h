// The architectures that Potluck runs, and what each fixes without saying it in its file.
//
// Both config readers (model/gguf, model/safetensors) start from a row of this table and fill in
// the numbers. Sources: Hugging Face transformers' modeling files; llama.cpp for chatglm.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "model/config.h"

namespace potluck::model {

struct ArchitectureTraits {
  std::string_view name;        // GGUF's
  std::string_view model_type;  // Hugging Face's
  // llama.cpp's converter reorders the rows of q and k for some architectures, so the two file
  // kinds may differ.
  RopeStyle gguf_rope = RopeStyle::kHalfSplit;
  RopeStyle hf_rope = RopeStyle::kHalfSplit;
  double rotary_fraction = 1;  // of head_dim, where the file doesn't say
  Activation activation = Activation::kSilu;
  bool scaled_embeddings = false;  // by sqrt(model_dim)
  bool post_norms = false;
  bool qk_norm = false;
  bool hf_norm_adds_one = false;
  bool qkv_bias = false;     // where the file doesn't say
  bool always_tied = false;  // a head of its own in the file is not used
  bool experts = false;      // has no dense form
  // Layers with a window, where the file doesn't list them: 0, all of them have it; n, every n-th
  // layer sees everything.
  int window_pattern = 0;
  float window_rope_theta = 0;  // of window layers, where the file doesn't say; 0 = as the others
  float attention_softcap = 0, logit_softcap = 0;  // where the file doesn't say
};

// One row per architecture and, where Hugging Face has several names for it, per name.
std::span<const ArchitectureTraits> Architectures();

// Null where Potluck doesn't run it.
const ArchitectureTraits* FindArchitecture(std::string_view gguf_name);
const ArchitectureTraits* FindModelType(std::string_view hf_model_type);

// "llama, qwen2, ..." for error messages.
std::string SupportedArchitectures();
std::string SupportedModelTypes();

}  // namespace potluck::model
