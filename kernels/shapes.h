// The letters that shapes are written in, everywhere in this tree.
//
//   B   sequences in a step              H   query heads
//   T   new tokens in a step             G   key/value heads (groups)
//   S   attended positions               Dh  size of a head
//   O   rows whose logits are wanted     E   experts
//   P   rows wanted without logits       Eu  experts used per token
//   D   model_dim                        R   LoRA rank
//   F   ffn_dim                          L   layers
//   V   vocab_size
//
// M, N, K stand only in products: C(M,N) = A(M,K) W(N,K)^T. Weights are always (out, in),
// row-major.
#pragma once

#include <cstdint>

namespace potluck::kernels {

// Positions per KV block, of one layer.
inline constexpr int kKvBlockPositions = 32;

// Attention is summed over spans of so many positions, from position 0 upward (numerics class
// cpu-1).
inline constexpr int kAttentionSpan = 256;

}  // namespace potluck::kernels
