// What a stage takes of its device, as the worker that runs it will: weights, KV, the buffers of a
// step, and the activations that it keeps for a successor that has to start again.
#pragma once

#include <cstdint>
#include <vector>

#include "partition/plan.h"

namespace potluck::partition {

// "Memory is filled to 80% of what is free at most."
inline constexpr double kMemoryShare = 0.8;
// A stage keeps what it sent on, f32 rows of every position, up to so much; older positions are
// replayed from tokens.
inline constexpr int64_t kMostReplayBytes = int64_t{256} << 20;
// Rows of a step that results may be wanted of, at least.
inline constexpr int64_t kLeastOutputs = 32;

struct StageBytes {
  int64_t weights = 0, kv = 0, activations = 0, replay = 0;
  int64_t total() const { return weights + kv + activations + replay; }
};

// Of one model with one context, number of sequences and KV type. Sums saturate far beyond any
// device; the wish is checked (planner.h).
class StageMemory {
 public:
  explicit StageMemory(const InstanceWish& wish);

  // Layers [first, end), 0 <= first < end <= layers; with the embedding if first == 0, with the
  // head if end is the number of layers.
  StageBytes Of(int64_t first, int64_t end) const;
  int64_t TotalOf(int64_t first, int64_t end) const { return Of(first, end).total(); }

  int64_t embedding_bytes() const { return embedding_bytes_; }
  int64_t head_bytes() const { return head_bytes_; }

 private:
  std::vector<int64_t> weights_before_, kv_before_;  // sums over the layers before
  int64_t embedding_bytes_, head_bytes_;
  bool tied_;
  int64_t activation_bytes_, output_bytes_, replay_bytes_;
};

// Positions for so many sequences of a whole context each, any of which may end in a block that is
// not full.
int64_t KvCapacity(int64_t context_length, int64_t parallel);

// Of every stage's cache beyond that: for the probe, and some that nobody has to count.
inline constexpr int64_t kSpareKvBlocks = 8;

// Of one layer, as KvCache::BytesFor has it (a test holds them equal).
int64_t KvBytes(const LayerShape& layer, const InstanceWish& wish);

}  // namespace potluck::partition
