// Fused tensors shown as the separate ones that the decoder's builder asks for.
//
// Rows of a matrix are contiguous, so a part is a view of the same bytes:
//   blk.N.attn_qkv.{weight,bias}    -> attn_q, attn_k, attn_v (rows in this order)
//   blk.N.ffn_up.weight, twice ffn_dim rows and no ffn_gate -> ffn_gate, ffn_up (in this order)
//   blk.N.ffn_gate_up_exps.weight (experts, 2 * expert_ffn_dim, in) -> ffn_gate_exps, ffn_up_exps
//   blk.N.ffn_{gate,up,down}.E.weight, one per expert -> ffn_{gate,up,down}_exps
// Sources for the orders: Hugging Face's modeling files of phi3, glm and glm4; llama.cpp's graphs
// of phi3, chatglm and glm4 (its "swiglu" gates with the first half).
#pragma once

#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace potluck::model {

// Replaces fused tensors by their parts. One whose shape doesn't fit `config` stays as it is, and
// the builder finds its parts missing.
void SplitFusedWeights(const ModelConfig& config, std::vector<WeightTensor>& tensors);

}  // namespace potluck::model
