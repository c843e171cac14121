// What goes into the next frame.
#include <algorithm>

#include "coordinator/scheduler/instance_scheduler.h"

namespace potluck::coordinator {

std::optional<wire::StageFrame> InstanceScheduler::ComposeNext(absl::Duration now) {
  if (!running_ || num_in_flight() > num_stages()) return std::nullopt;
  if (probe_ == Probe::kDue) return ProbeFrame(now);
  if (probe_ == Probe::kSent) return std::nullopt;
  Admit();
  const Load load = Scan();
  wire::StageFrame frame;
  StepInFlight step;
  AddDecodeTokens(load, frame, step);
  AddPrefillChunks(load, frame, step);
  if (frame.step.tokens.empty() && commands_.empty()) return std::nullopt;
  Dispatch(frame, std::move(step), now);
  return frame;
}

// One token of a sequence of its own, through every stage.
wire::StageFrame InstanceScheduler::ProbeFrame(absl::Duration now) {
  probe_ = Probe::kSent;
  probe_id_ = next_stage_id_++;
  commands_.push_back(wire::BeginCommand{
      .start = {.sequence = probe_id_, .sampling = {.temperature = 0}, .prompt_length = 1}});
  wire::StageFrame frame;
  frame.step.tokens.push_back({.sequence = probe_id_, .wanted = model::Wanted::kSample});
  StepInFlight step;
  step.decode_tokens = 1;
  step.samples.push_back({.stage_id = probe_id_, .sequence = 0, .position = 1});
  Dispatch(frame, std::move(step), now);
  return frame;
}

InstanceScheduler::Load InstanceScheduler::Scan() {
  Load load;
  ready_.clear();
  for (Sequence* sequence : active_) {
    if (!sequence->decoding()) {
      load.prefill_tokens += sequence->unsent();
    } else if (!sequence->reader_paused) {
      ++load.decoding;
      if (sequence->unsent() > 0) ready_.push_back(sequence);
    }
  }
  return load;
}

void InstanceScheduler::AddDecodeTokens(const Load& load, wire::StageFrame& frame,
                                        StepInFlight& step) {
  const auto under_way =
      std::ranges::count_if(in_flight_, [](const auto& s) { return s.decode_tokens > 0; });
  if (ready_.empty() || under_way >= num_stages()) return;
  // Who has waited longest goes first.
  std::ranges::stable_sort(ready_, {}, &Sequence::last_step);
  const int64_t share = (load.decoding + num_stages() - 1) / num_stages();
  auto count = static_cast<size_t>(std::min({share, shape_.max_outputs, shape_.max_tokens}));
  // One whose step has failed travels alone.
  std::erase_if(ready_, [&](const Sequence* s) { return s->step_errors > 0 && s != ready_[0]; });
  if (ready_[0]->step_errors > 0) count = 1;
  ready_.resize(std::min(ready_.size(), count));
  // First all, since growing may send one away that has been chosen.
  for (Sequence* sequence : std::vector<Sequence*>(ready_)) {
    if (std::ranges::find(active_, sequence) != active_.end()) GrowOrPreempt(*sequence);
  }
  for (Sequence* sequence : ready_) {
    if (std::ranges::find(active_, sequence) == active_.end()) continue;
    AddTokens(*sequence, 1, frame, step);
    ++step.decode_tokens;
  }
}

void InstanceScheduler::AddPrefillChunks(const Load& load, wire::StageFrame& frame,
                                         StepInFlight& step) {
  if (load.prefill_tokens == 0) return;
  const auto under_way =
      std::ranges::count_if(in_flight_, [](const auto& s) { return s.prefill_tokens > 0; });
  if (load.decoding > 0 && under_way >= num_stages()) return;
  const int64_t chunk = load.decoding > 0
                            ? pace_.ChunkWhileDecoding(shape_.max_tokens)
                            : pace_.ChunkAlone(shape_.max_tokens, load.prefill_tokens);
  int64_t budget = std::min<int64_t>(chunk, shape_.max_tokens - step.decode_tokens);
  const auto alone = [&] {
    const Sequence* first = step.sequences.empty() ? nullptr : Find(step.sequences[0]);
    return first != nullptr && first->step_errors > 0;
  };
  for (Sequence* sequence : active_) {
    if (budget <= 0 || alone()) break;
    if (sequence->decoding() || sequence->unsent() == 0) continue;
    if (sequence->step_errors > 0 && !step.sequences.empty()) continue;
    auto count = static_cast<int32_t>(std::min<int64_t>(budget, sequence->unsent()));
    // The last token's sample needs an output; without one it waits for the next step.
    const bool last = count == sequence->unsent();
    if (last && static_cast<int64_t>(step.samples.size()) >= shape_.max_outputs) --count;
    if (count == 0) continue;
    AddTokens(*sequence, count, frame, step);
    step.prefill_tokens += count;
    budget -= count;
    try_admission_ = true;  // others may wait to share what is on its way now
  }
}

void InstanceScheduler::AddTokens(Sequence& sequence, int32_t count, wire::StageFrame& frame,
                                  StepInFlight& step) {
  std::vector<model::StepToken>& tokens = frame.step.tokens;
  for (int32_t i = 0; i < count; ++i) {
    const int32_t position = sequence.sent + i;
    tokens.push_back(
        {.sequence = sequence.stage_id,
         .id = sequence.tokens[position],
         .position = position,
         .parent = i == 0 ? model::kCommittedEnd : static_cast<int32_t>(tokens.size()) - 1,
         .kind = sequence.kind(position)});
  }
  sequence.sent += count;
  sequence.reached = std::max(sequence.reached, sequence.sent);
  sequence.last_step = counters_.steps + 1;
  if (sequence.unsent() == 0) {
    tokens.back().wanted = model::Wanted::kSample;
    step.samples.push_back(
        {.stage_id = sequence.stage_id, .sequence = sequence.id, .position = sequence.size()});
  }
  step.sequences.push_back(sequence.id);
}

void InstanceScheduler::Dispatch(wire::StageFrame& frame, StepInFlight step, absl::Duration now) {
  frame.step.instance = model_.instance;
  frame.step.epoch = shape_.epoch;
  frame.step.number = next_number_++;
  frame.commands = std::exchange(commands_, {});
  step.number = frame.step.number;
  step.composed_at = now;
  step.expected_seconds = pace_.StepSeconds(step.decode_tokens, step.prefill_tokens);
  in_flight_.push_back(std::move(step));
  ++counters_.steps;
}

}  // namespace potluck::coordinator
