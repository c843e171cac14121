#include "partition/stage_memory.h"

#include <algorithm>

#include "kernels/attention.h"

namespace potluck::partition {
namespace {

// The sum over all layers stays within int64.
constexpr double kMostBytes = static_cast<double>(int64_t{1} << 50);

int64_t Product(int64_t a, int64_t b) {
  return static_cast<int64_t>(
      std::min(kMostBytes, static_cast<double>(a) * static_cast<double>(b)));
}

int64_t BlocksFor(int64_t positions) {
  return (positions + kernels::kKvBlockPositions - 1) / kernels::kKvBlockPositions;
}

}  // namespace

int64_t KvCapacity(int64_t context_length, int64_t parallel) {
  return (BlocksFor(context_length * parallel) + parallel) * kernels::kKvBlockPositions;
}

int64_t KvBytes(const LayerShape& layer, const InstanceWish& wish) {
  int64_t blocks =
      KvCapacity(wish.context_length, wish.parallel) / kernels::kKvBlockPositions + kSpareKvBlocks;
  if (layer.window > 0) {
    const int64_t per_sequence = BlocksFor(layer.window + wish.max_step_tokens) + 1;
    blocks = std::min(blocks, Product(wish.parallel + 1, per_sequence));  // one is the probe's
  }
  const int64_t block_bytes =
      kernels::BytesOf(wish.kv_dtype, kernels::kKvBlockPositions * layer.kv_values);
  return Product(blocks, block_bytes);
}

StageMemory::StageMemory(const InstanceWish& wish)
    : weights_before_{0},
      kv_before_{0},
      embedding_bytes_(wish.model.embedding.held_bytes),
      head_bytes_(wish.model.head.held_bytes),
      tied_(wish.model.tied_embeddings),
      activation_bytes_(Product(wish.max_step_tokens, wish.model.activation_bytes_per_token)),
      output_bytes_(
          Product(std::max(kLeastOutputs, wish.parallel), wish.model.activation_bytes_per_output)),
      replay_bytes_(std::min(kMostReplayBytes, Product(wish.context_length * wish.parallel,
                                                       4 * wish.model.model_dim))) {
  for (int64_t i = 0; i < wish.model.num_layers(); ++i) {
    weights_before_.push_back(weights_before_.back() + wish.model.LayerBytes(i));
    kv_before_.push_back(kv_before_.back() + KvBytes(wish.model.layers[i], wish));
  }
}

StageBytes StageMemory::Of(int64_t first, int64_t end) const {
  const bool is_last = end + 1 == static_cast<int64_t>(weights_before_.size());
  StageBytes bytes{.weights = weights_before_[end] - weights_before_[first],
                   .kv = kv_before_[end] - kv_before_[first],
                   .activations = activation_bytes_};
  if (first == 0) bytes.weights += embedding_bytes_;
  if (is_last) {
    if (first != 0 || !tied_) bytes.weights += head_bytes_;
    bytes.activations += output_bytes_;
  } else {
    bytes.replay = replay_bytes_;
  }
  return bytes;
}

}  // namespace potluck::partition
