#include "worker/stage/frame_runner.h"

#include <algorithm>
#include <unordered_set>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace potluck::worker {
namespace {

using model::SequenceId;
using model::Step;
using model::StepToken;
using model::TokenKind;
using model::Wanted;

}  // namespace

absl::StatusOr<StageOutput> FrameRunner::Run(const wire::StageFrame& frame, const StagePart& part) {
  for (const wire::StageCommand& command : frame.commands) {
    if (part.ahead && !part.computes) break;
    if (part.ahead) POTLUCK_RETURN_IF_ERROR(MakeWay(command));
    POTLUCK_RETURN_IF_ERROR(Apply(command));
  }
  StageOutput output;
  if (frame.step.tokens.empty()) return output;
  POTLUCK_RETURN_IF_ERROR(CheckWanted(frame.step));
  if (part.computes) {
    POTLUCK_RETURN_IF_ERROR(Compute(frame, part, output));
  } else if (part.passes_on) {
    const absl::Status passed = PassOn(frame, output);
    output.left_out = !passed.ok() && part.ahead;  // whoever it was of may have ended meanwhile
    if (output.left_out) output.hidden.clear();
    if (!passed.ok() && !part.ahead) return passed;
  }
  return output;
}

absl::Status FrameRunner::Compute(const wire::StageFrame& frame, const StagePart& part,
                                  StageOutput& output) {
  const Step& step = frame.step;
  if (part.replays) POTLUCK_RETURN_IF_ERROR(Drop(step));
  POTLUCK_ASSIGN_OR_RETURN(const Lengths before, LengthsOf(step));
  POTLUCK_RETURN_IF_ERROR(stage_.Run(step, frame.hidden));
  absl::Status status;
  if (is_last_) {
    status = SampleAll(step, output.tokens);
    output.hidden.resize(stage_.hidden_rows().size() * stage_.config().model_dim);
    if (status.ok() && !output.hidden.empty()) status = stage_.ReadFinalHidden(output.hidden);
  } else {
    output.hidden.resize(step.tokens.size() * stage_.config().model_dim);
    status = stage_.ReadHidden(output.hidden);
    if (status.ok()) kept_.Keep(step, output.hidden);
    if (!part.passes_on) output.hidden.clear();
  }
  if (status.ok()) return status;
  // A step without a result has not been.
  for (const auto& [sequence, length] : before) CutTo(sequence, length).IgnoreError();
  return status;
}

absl::Status FrameRunner::PassOn(const wire::StageFrame& frame, StageOutput& output) const {
  const int64_t width = stage_.config().model_dim;
  const std::vector<StepToken>& tokens = frame.step.tokens;
  output.hidden.resize(tokens.size() * width);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::span row(output.hidden.data() + static_cast<int64_t>(i) * width, width);
    if (!kept_.Read(tokens[i].sequence, tokens[i].position, row)) {
      return absl::FailedPreconditionError(absl::StrCat("no rows of sequence ", tokens[i].sequence,
                                                        " are kept for position ",
                                                        tokens[i].position));
    }
  }
  return absl::OkStatus();
}

// A change that was given up may have begun it here before.
absl::Status FrameRunner::MakeWay(const wire::StageCommand& command) {
  const auto* begin = std::get_if<wire::BeginCommand>(&command);
  if (begin == nullptr || !stage_.kv().Length(begin->start.sequence).ok()) return absl::OkStatus();
  return Apply(model::FreeCommand{begin->start.sequence});
}

absl::Status FrameRunner::Drop(const Step& step) {
  for (size_t i = 0; i < step.tokens.size(); ++i) {
    const StepToken& token = step.tokens[i];
    if (i > 0 && step.tokens[i - 1].sequence == token.sequence) continue;
    POTLUCK_ASSIGN_OR_RETURN(const int32_t length, stage_.kv().Length(token.sequence));
    if (length > token.position) POTLUCK_RETURN_IF_ERROR(CutTo(token.sequence, token.position));
  }
  return absl::OkStatus();
}

// Where a window forbids going back, all of it is left out.
absl::Status FrameRunner::CutTo(SequenceId sequence, int32_t length) {
  kept_.Trim(sequence, length);
  model::KvCache& kv = stage_.kv();
  absl::Status status = kv.Apply(model::TrimCommand{sequence, length});
  if (length > 0 || !absl::IsFailedPrecondition(status)) return status;
  POTLUCK_RETURN_IF_ERROR(kv.Apply(model::FreeCommand{sequence}));
  return kv.Begin(sequence, {}).status();
}

absl::Status FrameRunner::Apply(const wire::StageCommand& command) {
  if (const auto* begin = std::get_if<wire::BeginCommand>(&command)) return Begin(*begin);
  if (const auto* trim = std::get_if<model::TrimCommand>(&command)) {
    kept_.Trim(trim->sequence, trim->length);
    return stage_.kv().Apply(*trim);
  }
  if (const auto* accept = std::get_if<model::AcceptCommand>(&command))
    return stage_.kv().Apply(*accept);
  const auto& free = std::get<model::FreeCommand>(command);
  answers_.erase(free.sequence);
  kept_.Free(free.sequence);
  return stage_.kv().Apply(free);
}

absl::Status FrameRunner::Begin(const wire::BeginCommand& command) {
  const wire::SequenceStart& start = command.start;
  POTLUCK_RETURN_IF_ERROR(CheckStart(start));
  if (command.fork_length == 0) {
    POTLUCK_RETURN_IF_ERROR(stage_.kv().Begin(start.sequence, {}).status());
  } else {
    POTLUCK_RETURN_IF_ERROR(stage_.kv().Apply(
        model::ForkCommand{command.fork_from, start.sequence, command.fork_length}));
    kept_.Fork(command.fork_from, start.sequence, command.fork_length);
  }
  return SetStart(start);
}

absl::Status FrameRunner::SetStart(const wire::SequenceStart& start) {
  if (!is_last_) return absl::OkStatus();
  POTLUCK_ASSIGN_OR_RETURN(auto grammar, grammars_.Begin(start.sampling));
  answers_.insert_or_assign(start.sequence, Answer{start, std::move(grammar)});
  return absl::OkStatus();
}

absl::Status FrameRunner::CheckStart(const wire::SequenceStart& start) const {
  if (start.prompt_length < 0 || start.choice < 0) {
    return absl::InvalidArgumentError(absl::StrCat("sequence ", start.sequence,
                                                   " begins with a prompt of ", start.prompt_length,
                                                   " tokens and choice ", start.choice));
  }
  return model::CheckSampling(start.sampling, stage_.config().vocab_size);
}

absl::Status FrameRunner::CheckWanted(const Step& step) const {
  for (const StepToken& token : step.tokens) {
    if (token.wanted == Wanted::kLogits)
      return absl::UnimplementedError("a step asks for logits: none are sent");
    if (token.wanted == Wanted::kSample && is_last_ && !answers_.contains(token.sequence))
      return absl::NotFoundError(absl::StrCat("no sequence ", token.sequence));
  }
  return absl::OkStatus();
}

absl::StatusOr<FrameRunner::Lengths> FrameRunner::LengthsOf(const Step& step) const {
  Lengths lengths;
  for (const StepToken& token : step.tokens) {
    if (!lengths.empty() && lengths.back().first == token.sequence) continue;
    POTLUCK_ASSIGN_OR_RETURN(const int32_t length, stage_.kv().Length(token.sequence));
    lengths.emplace_back(token.sequence, length);
  }
  return lengths;
}

absl::Status FrameRunner::SampleAll(const Step& step, std::vector<wire::TokenResult>& tokens) {
  logits_.resize(stage_.config().vocab_size);
  for (size_t row = 0; row < stage_.outputs().size(); ++row) {
    POTLUCK_ASSIGN_OR_RETURN(wire::TokenResult result,
                             Sample(step, stage_.outputs()[row], static_cast<int64_t>(row)));
    tokens.push_back(std::move(result));
  }
  return absl::OkStatus();
}

absl::StatusOr<wire::TokenResult> FrameRunner::Sample(const Step& step, int32_t index,
                                                      int64_t row) {
  const StepToken& token = step.tokens[index];
  const auto& [start, grammar] = answers_.at(token.sequence);
  POTLUCK_ASSIGN_OR_RETURN(const std::span<const model::TokenId> text, TextUntil(step, index));
  POTLUCK_RETURN_IF_ERROR(stage_.ReadLogits(row, logits_));
  wire::TokenResult result{
      .sequence = token.sequence, .position = token.position + 1, .id = 0, .logprobs = {}};
  const size_t prompt_length = std::min(text.size(), static_cast<size_t>(start.prompt_length));
  const absl::StatusOr<model::TokenId> id =
      sampler_.Sample(logits_, start.sampling,
                      {.history = text,
                       .prompt_length = prompt_length,
                       .position = result.position,
                       .choice = start.choice,
                       .allowed = grammar != nullptr ? grammar->Allowed(text.subspan(prompt_length))
                                                     : std::span<const uint64_t>()});
  if (!id.ok()) return Annotate(id.status(), absl::StrCat("sequence ", token.sequence));
  result.id = *id;
  if (start.top_logprobs >= 0) {
    const auto most = static_cast<int32_t>(logits_.size());
    result.logprobs = model::Logprobs(logits_, *id, std::min(start.top_logprobs, most));
  }
  return result;
}

absl::StatusOr<std::span<const model::TokenId>> FrameRunner::TextUntil(const Step& step,
                                                                       int32_t index) {
  POTLUCK_ASSIGN_OR_RETURN(const std::span<const model::TokenId> committed,
                           stage_.kv().Tokens(step.tokens[index].sequence));
  std::vector<model::TokenId> drafts;  // from the last to the first
  for (; index >= 0 && step.tokens[index].kind == TokenKind::kDraft;
       index = step.tokens[index].parent) {
    drafts.push_back(step.tokens[index].id);
  }
  // A draft follows a token of this step, or else the committed end.
  const size_t length = index >= 0 ? step.tokens[index].position + 1 : committed.size();
  if (drafts.empty()) return committed.first(length);
  draft_text_.assign(committed.begin(), committed.begin() + static_cast<int64_t>(length));
  draft_text_.insert(draft_text_.end(), drafts.rbegin(), drafts.rend());
  return draft_text_;
}

std::vector<wire::SequenceLength> FrameRunner::Held() const {
  std::vector<wire::SequenceLength> held;
  for (const SequenceId sequence : stage_.kv().Sequences())
    held.push_back({sequence, *stage_.kv().Length(sequence), kept_.Length(sequence)});
  return held;
}

absl::StatusOr<std::vector<wire::SequenceLength>> FrameRunner::Commit(
    const std::vector<wire::Commit::Sequence>& sequences) {
  std::unordered_set<model::SequenceId> named;
  for (const wire::Commit::Sequence& sequence : sequences) {
    POTLUCK_RETURN_IF_ERROR(CheckStart(sequence.start));
    if (sequence.length < 0 || !named.insert(sequence.start.sequence).second) {
      return absl::InvalidArgumentError(absl::StrCat("sequence ", sequence.start.sequence,
                                                     " is to keep ", sequence.length,
                                                     " tokens, or is named twice"));
    }
  }
  for (const model::SequenceId sequence : stage_.kv().Sequences()) {
    if (named.contains(sequence)) continue;
    POTLUCK_RETURN_IF_ERROR(Apply(model::FreeCommand{sequence}));
  }
  std::vector<wire::SequenceLength> held;
  for (const wire::Commit::Sequence& sequence : sequences) {
    POTLUCK_ASSIGN_OR_RETURN(const int32_t length, Keep(sequence));
    held.push_back({sequence.start.sequence, length, kept_.Length(sequence.start.sequence)});
    POTLUCK_RETURN_IF_ERROR(SetStart(sequence.start));
  }
  return held;
}

absl::StatusOr<int32_t> FrameRunner::Keep(const wire::Commit::Sequence& sequence) {
  const model::SequenceId id = sequence.start.sequence;
  model::KvCache& kv = stage_.kv();
  if (const absl::StatusOr<int32_t> length = kv.Length(id); length.ok()) {
    const int32_t kept = std::min(*length, sequence.length);
    absl::Status cut = CutTo(id, kept);
    if (cut.ok()) return kept;
    // Out of a window's reach: to be computed again.
    if (absl::IsFailedPrecondition(cut)) cut = CutTo(id, 0);
    if (!cut.ok()) return cut;
    return 0;
  }
  return kv.Begin(id, {});
}

}  // namespace potluck::worker
