// What a frame does to a stage: its commands to the KV cache, its step to the device, and, on the
// last stage, a token or a row for each place that one is wanted of.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/decoder/decoder_stage.h"
#include "model/grammar/answer_grammars.h"
#include "model/sampling/sampler.h"
#include "wire/messages.h"
#include "worker/stage/kept_rows.h"
#include "worker/stage/stage_runner.h"

namespace potluck::worker {

// Thread-compatible: the thread that drives the stage drives this.
class FrameRunner {
 public:
  // `is_last`: the stage has the head, and keeps no rows. Others keep at most `replay_bytes` of
  // them. The stage must outlive the runner. `vocabulary`: for answers with a grammar, on the last
  // stage.
  FrameRunner(model::DecoderStage& stage, bool is_last, int64_t replay_bytes,
              model::AnswerGrammars::OpenVocabulary vocabulary)
      : stage_(stage),
        is_last_(is_last),
        grammars_(std::move(vocabulary)),
        kept_(stage.config().model_dim, is_last ? 0 : replay_bytes) {}

  // As StageRunner's, without the time. Wanted::kLogits is Unimplemented: no message carries them.
  absl::StatusOr<StageOutput> Run(const wire::StageFrame& frame, const StagePart& part);
  std::vector<wire::SequenceLength> Held() const;
  absl::StatusOr<std::vector<wire::SequenceLength>> Commit(
      const std::vector<wire::Commit::Sequence>& sequences);

 private:
  struct Answer {
    wire::SequenceStart start;
    std::unique_ptr<model::AnswerGrammar> grammar;  // or none
  };
  using Lengths = std::vector<std::pair<model::SequenceId, int32_t>>;

  absl::Status Compute(const wire::StageFrame& frame, const StagePart& part, StageOutput& output);
  // The rows of a step that this stage holds already.
  absl::Status PassOn(const wire::StageFrame& frame, StageOutput& output) const;
  absl::Status MakeWay(const wire::StageCommand& command);
  // What it holds of the step's sequences from their first tokens here on.
  absl::Status Drop(const model::Step& step);
  absl::Status CutTo(model::SequenceId sequence, int32_t length);
  absl::Status Apply(const wire::StageCommand& command);
  absl::Status Begin(const wire::BeginCommand& command);
  // From now on it is sampled so.
  absl::Status SetStart(const wire::SequenceStart& start);
  // How many positions it holds then.
  absl::StatusOr<int32_t> Keep(const wire::Commit::Sequence& sequence);
  absl::Status CheckStart(const wire::SequenceStart& start) const;
  absl::Status CheckWanted(const model::Step& step) const;
  // Of the step's sequences, before it.
  absl::StatusOr<Lengths> LengthsOf(const model::Step& step) const;
  absl::Status SampleAll(const model::Step& step, std::vector<wire::TokenResult>& tokens);
  absl::StatusOr<wire::TokenResult> Sample(const model::Step& step, int32_t index, int64_t row);
  // The text up to and including token `index` of the step.
  absl::StatusOr<std::span<const model::TokenId>> TextUntil(const model::Step& step, int32_t index);

  model::DecoderStage& stage_;
  const bool is_last_;
  model::AnswerGrammars grammars_;
  std::unordered_map<model::SequenceId, Answer> answers_;  // on the last stage
  KeptRows kept_;
  model::Sampler sampler_;
  std::vector<float> logits_;
  std::vector<model::TokenId> draft_text_;
};

}  // namespace potluck::worker
