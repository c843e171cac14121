// A part of a decoder (often all of it) on one device: its graph, its weights and the KV cache of
// its layers. It runs steps and KV commands in the order in which they come.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "model/config.h"
#include "model/decoder/decoder_graph.h"
#include "model/graph/bound_graph.h"
#include "model/kv/kv_cache.h"
#include "model/step.h"
#include "model/weights.h"

namespace potluck::model {

struct StageOptions {
  StageRange range;
  int64_t context_length = 0;  // the most positions of a sequence
  KvOptions kv;
  // The most tokens of a step, and of these the most whose logits are wanted: they bound the
  // buffers.
  int64_t max_tokens = 512;
  int64_t max_outputs = 32;
  kernels::Precision precision = kernels::Precision::kInt8;
  std::function<void(double)> on_progress;  // see BoundGraph::Options
  std::function<bool()> cancelled;
};

// What a stage needs beside its weights, in bytes of its device.
struct StageMemory {
  int64_t weight_bytes = 0;
  int64_t kv_bytes = 0;
  int64_t activation_bytes = 0;
  int64_t total() const { return weight_bytes + kv_bytes + activation_bytes; }
};

// Thread-compatible: one thread drives it.
class DecoderStage {
 public:
  // Computed from headers alone: nothing is loaded.
  static absl::StatusOr<StageMemory> MemoryFor(const ModelConfig& config,
                                               const WeightSource& source,
                                               const StageOptions& options);

  // The same but for weight_bytes, which stay 0. The weights have the graph's shapes.
  static StageMemory MemoryBesideWeights(const ModelConfig& config, const DecoderGraph& decoder,
                                         const StageOptions& options);

  // The backend must outlive the stage. Errors name the tensor or the number that is wrong;
  // ResourceExhausted says what would fit.
  static absl::StatusOr<std::unique_ptr<DecoderStage>> Load(const ModelConfig& config,
                                                            const WeightSource& source,
                                                            kernels::Backend& backend,
                                                            const StageOptions& options);

  // Runs one step. In a first stage the tokens' ids are the input, otherwise `hidden` (T, D).
  // Errors leave the KV cache as it was: InvalidArgument, NotFound, ResourceExhausted (see
  // KvCache::Place), FailedPrecondition for an adapter that is not loaded, Cancelled as soon as
  // `cancelled` says true.
  absl::Status Run(const Step& step, std::span<const float> hidden = {},
                   const std::function<bool()>& cancelled = nullptr);

  // Of the last step, in a last stage: the tokens (indices) whose logits were wanted, and these.
  // `row` counts in outputs().
  std::span<const int32_t> outputs() const { return output_rows_; }
  absl::Status ReadLogits(int64_t row, std::span<float> logits) const;  // V
  // Likewise of Wanted::kHidden: the tokens, and their rows after the last norm (P, D).
  std::span<const int32_t> hidden_rows() const { return hidden_rows_; }
  absl::Status ReadFinalHidden(std::span<float> hidden) const;
  // Of the last step, in a stage that is not the last: the residual stream (T, D).
  absl::Status ReadHidden(std::span<float> hidden) const;

  KvCache& kv() { return *kv_; }
  const ModelConfig& config() const { return config_; }
  int64_t context_length() const { return options_.context_length; }
  int64_t max_tokens() const { return options_.max_tokens; }
  int64_t max_outputs() const { return options_.max_outputs; }
  StageMemory memory() const;

 private:
  DecoderStage(const ModelConfig& config, kernels::Backend& backend, const StageOptions& options)
      : config_(config), backend_(backend), options_(options) {}

  absl::Status CheckIsLast() const;
  absl::Status CheckStep(const Step& step, std::span<const float> hidden) const;

  const ModelConfig config_;
  kernels::Backend& backend_;
  const StageOptions options_;
  std::unique_ptr<BoundGraph> graph_;
  std::unique_ptr<KvCache> kv_;
  // Of the step that runs; kept, so that a step does not allocate.
  std::vector<int32_t> ids_, positions_, output_rows_, hidden_rows_;
  std::vector<LayerKv> layers_;
};

}  // namespace potluck::model
