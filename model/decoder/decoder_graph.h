// From a config to the graph of a decoder, or of a part of one. One builder for all architectures:
// it is driven by what the config says of a block, and reads like the papers.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "model/config.h"
#include "model/graph/graph.h"
#include "model/weights.h"

namespace potluck::model {

// Which part of the decoder a stage holds, in cut points: 2i lies before layer i's attention, 2i +
// 1 before its FFN. A stage that begins at 0 embeds the tokens; one that ends at 2 * num_layers has
// the head.
struct StageRange {
  int64_t first_cut = 0;
  int64_t last_cut = 0;
  // A stage may be split over a group of devices; today it is one.
  int32_t shard = 0;
  int32_t num_shards = 1;

  static StageRange Whole(const ModelConfig& config) { return {0, 2 * config.num_layers}; }
  bool operator==(const StageRange&) const = default;
};

struct DecoderGraph {
  Graph graph;
  // The attention layers that this part holds, ascending; AttentionOp::layer counts within them.
  std::vector<int64_t> attention_layers;
};

// `context_length`: the most positions that a sequence may have (it decides RoPE's factors in some
// models). InvalidArgument for a range that is none.
absl::StatusOr<DecoderGraph> BuildDecoder(const ModelConfig& config, const StageRange& range,
                                          const WeightSource& source, int64_t context_length);

}  // namespace potluck::model
