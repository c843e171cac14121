// A model cut into stages that stand behind one another, driven as one: what the tests of promise 2
// ("same words, whatever happens") run.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "model/decoder/decoder_stage.h"

namespace potluck::model {

struct StagedOptions {
  kernels::DType kv_dtype = kernels::DType::kF16;
  kernels::Precision precision = kernels::Precision::kInt8;
  int64_t context_length = 512;
  int64_t max_tokens = 320;
  std::vector<int64_t> inner_cuts;  // ascending; none: one stage
};

// Tokens that follow the committed end of a sequence.
struct RunOfTokens {
  SequenceId sequence;
  std::span<const TokenId> ids;
  TokenKind kind = TokenKind::kPrompt;
};

class StagedModel {
 public:
  // The backend must outlive the result.
  static absl::StatusOr<std::unique_ptr<StagedModel>> Load(const ModelConfig& config,
                                                           const WeightSource& source,
                                                           kernels::Backend& backend,
                                                           const StagedOptions& options);

  // In every stage; how much of `ids` all of them know.
  absl::StatusOr<int32_t> Begin(SequenceId sequence, std::span<const TokenId> ids = {});
  absl::Status Apply(const KvCommand& command);
  absl::StatusOr<int32_t> Length(SequenceId sequence) const;

  // The logits (T, V) of every token of the step.
  absl::StatusOr<std::vector<float>> RunStep(Step step);
  absl::StatusOr<std::vector<float>> RunTogether(std::span<const RunOfTokens> runs);

  int64_t vocab_size() const { return stages_.front()->config().vocab_size; }
  DecoderStage& stage(size_t i) { return *stages_[i]; }

 private:
  std::vector<std::unique_ptr<DecoderStage>> stages_;
};

}  // namespace potluck::model
