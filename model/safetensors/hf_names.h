// Hugging Face's tensor names as GGUF's.
// Source: the modeling files of transformers; GGUF's names are docs/formats.md's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace potluck::model {

// "model.layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight". Prefixes that only say which
// part of a larger model this is ("model.", "language_model.model.", "model.language_model.") are
// dropped. Experts keep a tensor each ("blk.3.ffn_gate.5.weight") and fused tensors stay fused
// (model/fused_weights.h takes both apart). Nothing for a name that no decoder uses, such as a
// vision tower's. `architecture` is GGUF's name: the same norm has other names in some families.
std::optional<std::string> GgufTensorName(std::string_view hf_name, std::string_view architecture);

}  // namespace potluck::model
