// What goes into the next frame.
#include <algorithm>

#include "coordinator/scheduler/instance_scheduler.h"

namespace potluck::coordinator {
namespace {

// Of the rows in a step's result, which others wait behind on the last stage's link.
constexpr int64_t kMostRowBytes = int64_t{2} << 20;

}  // namespace

std::optional<wire::StageFrame> InstanceScheduler::ComposeNext(absl::Duration now) {
  if (!running_ || num_in_flight() > num_stages()) return std::nullopt;
  if (probe_ == Probe::kDue) return ProbeFrame(now);
  if (probe_ == Probe::kSent) return std::nullopt;
  Admit(now);
  const Load load = Scan();
  wire::StageFrame frame;
  StepInFlight step;
  const bool replays = ReplayIsDue(load);
  if (replays) {
    AddReplays(load, frame, step);
  } else {
    AddDecodeTokens(load, frame, step);
    AddPrefillChunks(load, frame, step);
  }
  if (frame.step.tokens.empty() && commands_.empty()) return std::nullopt;
  if (!frame.step.tokens.empty()) replayed_last_ = replays;
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
  prefilling_.clear();
  replaying_.clear();
  for (Sequence* sequence : active_) {
    if (sequence->reader_paused) continue;
    if (NotAllCompute(*sequence)) {
      load.prefill_tokens += sequence->unsent();
      replaying_.push_back(sequence);
    } else if (!sequence->decoding()) {
      load.prefill_tokens += sequence->unsent();
      if (sequence->unsent() > 0) prefilling_.push_back(sequence);
    } else {
      ++load.decoding;
      if (sequence->unsent() > 0) ready_.push_back(sequence);
    }
  }
  const auto under_way =
      std::ranges::count_if(in_flight_, [](const auto& s) { return s.prefill_tokens > 0; });
  if (load.prefill_tokens == 0 || (load.decoding > 0 && under_way >= num_stages())) return load;
  load.chunk = load.decoding > 0 ? pace_.ChunkWhileDecoding(shape_.max_tokens)
                                 : pace_.ChunkAlone(shape_.max_tokens, load.prefill_tokens);
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
  // Some of the step is left to the prompts.
  const int64_t room =
      shape_.max_tokens - std::min({load.chunk, load.prefill_tokens, shape_.max_tokens / 2});
  auto count = static_cast<size_t>(std::min({share, shape_.max_outputs, room}));
  const Sequence* first = ready_.front();
  std::erase_if(ready_, [&](const Sequence* s) { return s->step_errors > 0 && s != first; });
  if (first->step_errors > 0) count = 1;
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
  // Growing may have sent some away.
  std::erase_if(prefilling_, [&](const Sequence* sequence) {
    return std::ranges::find(active_, sequence) == active_.end();
  });
  const Sequence* first = step.sequences.empty() ? nullptr : Find(step.sequences.front());
  if (first != nullptr && first->step_errors > 0) return;
  const auto row_bytes = std::max<int64_t>(1, model_.model_dim) * int64_t{sizeof(float)};
  int64_t rows_left = std::max<int64_t>(1, kMostRowBytes / row_bytes);
  for (const auto& [sequence, most] :
       ShareOut(std::min(load.chunk, shape_.max_tokens - step.decode_tokens), first == nullptr)) {
    // The last token's sample needs an output; without one it waits for a next step.
    const bool no_output = most == sequence->unsent() && !sequence->wants_rows() &&
                           static_cast<int64_t>(step.samples.size()) >= shape_.max_outputs;
    int32_t count = most - (no_output ? 1 : 0);
    if (sequence->wants_rows()) {
      const int64_t unwanted = std::max(0, sequence->rows_taken - sequence->sent);
      count = static_cast<int32_t>(std::min<int64_t>(count, unwanted + rows_left));
      rows_left -= std::max<int64_t>(0, count - unwanted);
    }
    if (count == 0) continue;
    AddTokens(*sequence, count, frame, step);
    step.prefill_tokens += count;
    try_admission_ = true;  // others may wait to share what is on its way now
  }
}

// Who gets how many of a step's prompt tokens, oldest first. `alone`: the step is empty so far.
std::vector<InstanceScheduler::Chunk> InstanceScheduler::ShareOut(int64_t budget, bool alone) {
  std::vector<Chunk> chunks;
  if (budget <= 0) return chunks;
  const auto failed = [](const Sequence* sequence) { return sequence->step_errors > 0; };
  const auto suspect = std::ranges::find_if(prefilling_, failed);
  if (alone && suspect != prefilling_.end()) {
    const int64_t count = std::min<int64_t>(budget, (*suspect)->unsent());
    return {{*suspect, static_cast<int32_t>(count)}};
  }
  std::erase_if(prefilling_, failed);
  for (Sequence* sequence : prefilling_) chunks.push_back({sequence, 0});
  const auto give = [&](Chunk& chunk, int64_t most) {
    const int64_t count = std::min({most, budget, int64_t{chunk.sequence->unsent()} - chunk.count});
    chunk.count += static_cast<int32_t>(count);
    budget -= count;
  };
  if (chunks.empty()) return chunks;
  give(chunks.front(), (budget + 1) / 2);
  std::vector<Chunk*> shortest;
  for (Chunk& chunk : chunks) shortest.push_back(&chunk);
  std::ranges::stable_sort(shortest, {}, [](const Chunk* c) { return c->sequence->unsent(); });
  for (Chunk* chunk : shortest) give(*chunk, budget);
  std::erase_if(chunks, [](const Chunk& chunk) { return chunk.count == 0; });
  return chunks;
}

void InstanceScheduler::AddTokens(Sequence& sequence, int32_t count, wire::StageFrame& frame,
                                  StepInFlight& step) {
  std::vector<model::StepToken>& tokens = frame.step.tokens;
  // Some hold more than the others: they drop it.
  if (sequence.replaying() && frame.replaying.empty()) frame.replaying = ComputingStages(sequence);
  const int32_t end = sequence.sent + count;
  const int32_t rows_from =
      sequence.wants_rows() ? std::clamp(sequence.rows_taken, sequence.sent, end) : end;
  if (rows_from < end) step.rows.push_back({sequence.id, rows_from, end - rows_from});
  for (int32_t position = sequence.sent; position < end; ++position) {
    const bool first = position == sequence.sent;
    tokens.push_back(
        {.sequence = sequence.stage_id,
         .id = sequence.tokens[position],
         .position = position,
         .parent = first ? model::kCommittedEnd : static_cast<int32_t>(tokens.size()) - 1,
         .kind = sequence.kind(position),
         .wanted = position < rows_from ? model::Wanted::kNothing : model::Wanted::kHidden});
  }
  sequence.sent = end;
  sequence.reached = std::max(sequence.reached, sequence.sent);
  if (!sequence.replaying()) {
    sequence.replay_starts.clear();
    sequence.replay_end = 0;
  }
  sequence.last_step = counters_.steps + 1;
  if (sequence.unsent() == 0 && !sequence.wants_rows()) {
    tokens.back().wanted = model::Wanted::kSample;
    step.samples.push_back(
        {.stage_id = sequence.stage_id, .sequence = sequence.id, .position = sequence.size()});
  }
  step.sequences.push_back(sequence.id);
  if (sequence.request.tell_progress && sequence.generated() == 0)
    step.progress.push_back({sequence.id, sequence.sent});
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
