#include "tests/model/decoder/staged_model.h"

#include <algorithm>

#include "common/status_macros.h"

namespace potluck::model {

absl::StatusOr<std::unique_ptr<StagedModel>> StagedModel::Load(const ModelConfig& config,
                                                               const WeightSource& source,
                                                               kernels::Backend& backend,
                                                               const StagedOptions& options) {
  auto model = std::make_unique<StagedModel>();
  std::vector<int64_t> cuts = options.inner_cuts;
  cuts.insert(cuts.begin(), 0);
  cuts.push_back(2 * config.num_layers);
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    POTLUCK_ASSIGN_OR_RETURN(auto stage,
                             DecoderStage::Load(config, source, backend,
                                                {.range = {cuts[i], cuts[i + 1]},
                                                 .context_length = options.context_length,
                                                 .kv = {.dtype = options.kv_dtype,
                                                        .capacity = 6 * options.context_length,
                                                        .max_sequences = 6},
                                                 .max_tokens = options.max_tokens,
                                                 .max_outputs = options.max_tokens,
                                                 .precision = options.precision}));
    model->stages_.push_back(std::move(stage));
  }
  return model;
}

absl::StatusOr<int32_t> StagedModel::Begin(SequenceId sequence, std::span<const TokenId> ids) {
  POTLUCK_ASSIGN_OR_RETURN(int32_t known, stages_.front()->kv().Begin(sequence, ids));
  for (size_t i = 1; i < stages_.size(); ++i) {
    POTLUCK_ASSIGN_OR_RETURN(const int32_t known_there, stages_[i]->kv().Begin(sequence, ids));
    if (known_there != known) return absl::InternalError("the stages know different prefixes");
  }
  return known;
}

absl::Status StagedModel::Apply(const KvCommand& command) {
  for (const auto& stage : stages_) POTLUCK_RETURN_IF_ERROR(stage->kv().Apply(command));
  return absl::OkStatus();
}

absl::StatusOr<int32_t> StagedModel::Length(SequenceId sequence) const {
  return stages_.front()->kv().Length(sequence);
}

absl::StatusOr<std::vector<float>> StagedModel::RunStep(Step step) {
  for (StepToken& token : step.tokens) token.wanted = Wanted::kLogits;
  std::vector<float> hidden;
  for (const auto& stage : stages_) {
    POTLUCK_RETURN_IF_ERROR(stage->Run(step, hidden));
    if (stage == stages_.back()) break;
    hidden.resize(step.tokens.size() * stage->config().model_dim);
    POTLUCK_RETURN_IF_ERROR(stage->ReadHidden(hidden));
  }
  std::vector<float> logits(step.tokens.size() * vocab_size());
  for (size_t i = 0; i < step.tokens.size(); ++i) {
    POTLUCK_RETURN_IF_ERROR(stages_.back()->ReadLogits(
        static_cast<int64_t>(i), std::span(logits).subspan(i * vocab_size(), vocab_size())));
  }
  return logits;
}

absl::StatusOr<std::vector<float>> StagedModel::RunTogether(std::span<const RunOfTokens> runs) {
  Step step;
  for (const RunOfTokens& run : runs) {
    POTLUCK_ASSIGN_OR_RETURN(int32_t position, Length(run.sequence));
    int32_t parent = kCommittedEnd;
    for (const TokenId id : run.ids) {
      step.tokens.push_back({.sequence = run.sequence,
                             .id = id,
                             .position = position++,
                             .parent = parent,
                             .kind = run.kind});
      parent = static_cast<int32_t>(step.tokens.size()) - 1;
    }
  }
  return RunStep(std::move(step));
}

}  // namespace potluck::model
