#include "model/safetensors/hf_names.h"

#include <algorithm>
#include <iterator>

namespace potluck::model {
namespace {

struct Renaming {
  std::string_view hf, gguf;
};

// Of a layer; ".weight" and ".bias" stay.
constexpr Renaming kLayerModules[] = {
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.gate", "ffn_gate_inp"},
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"input_layernorm", "attn_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
    {"post_self_attn_layernorm", "post_attention_norm"},
    {"post_mlp_layernorm", "post_ffw_norm"},
};

// Of one expert, after its number.
constexpr Renaming kExpertModules[] = {
    {"gate_proj", "ffn_gate"}, {"up_proj", "ffn_up"}, {"down_proj", "ffn_down"},
    {"w1", "ffn_gate"},        {"w3", "ffn_up"},      {"w2", "ffn_down"},
};

// Of all experts of a layer at once; these are parameters, not modules, so they have no ".weight".
constexpr Renaming kStackedExperts[] = {
    {"gate_up_proj", "ffn_gate_up_exps"},
    {"gate_proj", "ffn_gate_exps"},
    {"up_proj", "ffn_up_exps"},
    {"down_proj", "ffn_down_exps"},
};

template <size_t n>
std::optional<std::string_view> Rename(const Renaming (&table)[n], std::string_view hf) {
  const auto* found = std::find_if(std::begin(table), std::end(table),
                                   [&](const Renaming& row) { return row.hf == hf; });
  if (found == std::end(table)) return std::nullopt;
  return found->gguf;
}

bool Consume(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Takes "12." from the front; digits without a leading zero, so that no two names mean one layer.
std::optional<std::string_view> ConsumeNumber(std::string_view& text) {
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  if (digits == 0 || digits > 6 || (digits > 1 && text[0] == '0')) return std::nullopt;
  if (digits == text.size() || text[digits] != '.') return std::nullopt;
  const std::string_view number = text.substr(0, digits);
  text.remove_prefix(digits + 1);
  return number;
}

// ".weight" or ".bias" from the end of `text`, or nothing.
std::string_view ConsumeSuffix(std::string_view& text) {
  for (const std::string_view suffix : {std::string_view(".weight"), std::string_view(".bias")}) {
    if (text.ends_with(suffix)) {
      text.remove_suffix(suffix.size());
      return suffix;
    }
  }
  return {};
}

// What follows "layers.N." becomes what follows "blk.N.".
std::optional<std::string> LayerName(std::string_view name, std::string_view architecture) {
  const std::string_view suffix = ConsumeSuffix(name);
  std::string_view expert = name;
  if (Consume(expert, "mlp.experts.") || Consume(expert, "block_sparse_moe.experts.")) {
    const auto number = ConsumeNumber(expert);
    if (!number) {
      const auto stacked = Rename(kStackedExperts, expert);
      if (!stacked || suffix == ".bias") return std::nullopt;
      return std::string(*stacked) + ".weight";
    }
    const auto module = Rename(kExpertModules, expert);
    if (!module || suffix != ".weight") return std::nullopt;
    return std::string(*module) + "." + std::string(*number) + ".weight";
  }
  if (suffix.empty()) return std::nullopt;
  // gemma2 and gemma3 mean the norm of the attention's output by it, the others the FFN's input.
  if (name == "post_attention_layernorm") {
    const bool is_post = architecture == "gemma2" || architecture == "gemma3";
    return std::string(is_post ? "post_attention_norm" : "ffn_norm") + std::string(suffix);
  }
  const auto module = Rename(kLayerModules, name);
  if (!module) return std::nullopt;
  return std::string(*module) + std::string(suffix);
}

}  // namespace

std::optional<std::string> GgufTensorName(std::string_view hf_name, std::string_view architecture) {
  std::string_view name = hf_name;
  Consume(name, "language_model.") || Consume(name, "model.language_model.");
  if (name == "lm_head.weight") return "output.weight";
  Consume(name, "model.");
  if (name == "embed_tokens.weight") return "token_embd.weight";
  if (name == "norm.weight") return "output_norm.weight";
  if (!Consume(name, "layers.")) return std::nullopt;
  const auto layer = ConsumeNumber(name);
  if (!layer) return std::nullopt;
  const auto rest = LayerName(name, architecture);
  if (!rest) return std::nullopt;
  return "blk." + std::string(*layer) + "." + *rest;
}

}  // namespace potluck::model
