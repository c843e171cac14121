// The last check of a ModelConfig before anything is sized or built by it: a config is a stranger's
// bytes, too.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "model/config.h"

namespace potluck::model {

// What the file calls each number, for messages ("llama.block_count", "num_hidden_layers").
struct ConfigKeys {
  std::string_view num_layers, model_dim, ffn_dim, num_heads, num_kv_heads, head_dim, vocab_size;
  std::string_view context_length, norm_eps, rope_dims, rope_theta, rope_scaling, window;
  std::string_view num_experts, num_experts_used, expert_ffn_dim;
};

// InvalidArgument, naming the key, where a number is zero, absurd, not finite, or doesn't fit
// another.
absl::Status CheckConfig(const ModelConfig& config, const ConfigKeys& keys);

// InvalidArgument, naming `key`, unless 1 <= value <= max: for numbers that others are divided or
// allocated by before the whole is checked.
absl::Status CheckCount(std::string_view key, int64_t value, int64_t max);

inline constexpr int64_t kMaxLayers = 10'000;
inline constexpr int64_t kMaxHeads = 1 << 16;
inline constexpr int64_t kMaxDim = 1 << 24;
inline constexpr int64_t kMaxContext = (int64_t{1} << 31) - 1;  // positions are int32

}  // namespace potluck::model
