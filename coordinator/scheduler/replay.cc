// After a change of plan: what some stages have lost is computed again, by them alone where the
// stages before them have kept the rows that they passed on.
#include <algorithm>
#include <limits>
#include <numeric>

#include "coordinator/scheduler/instance_scheduler.h"

namespace potluck::coordinator {

void InstanceScheduler::Resume(Sequence& sequence, std::span<const wire::SequenceLength> by_stage,
                               const OwnerOfBlock& owners) {
  std::vector<int32_t> starts = ReplayStarts(sequence, by_stage);
  const auto [least, most] = std::ranges::minmax(starts);
  // What an older one computes again is then shared, rather than computed twice.
  const auto block = static_cast<size_t>(least / kBlockPositions);
  const auto owner =
      block < sequence.blocks.size() ? owners.find(sequence.blocks[block]) : owners.end();
  const bool of_older = owner != owners.end() && owner->second != &sequence;
  if (of_older || (most == least && least < kBlockPositions)) {
    Preempt(sequence);
    --counters_.preemptions;
    return;
  }
  sequence.sent = least;
  sequence.replay_end = std::ranges::max(by_stage, {}, &wire::SequenceLength::length).length;
  sequence.replay_starts = std::move(starts);
  ledger_.Cut(sequence.blocks, BlocksFor(least));
}

// A stage need not compute what it holds, if the stage after it does not compute it either, or can
// have the rows that are kept.
std::vector<int32_t> InstanceScheduler::ReplayStarts(
    const Sequence& sequence, std::span<const wire::SequenceLength> by_stage) const {
  std::vector<int32_t> starts(by_stage.size());
  int32_t next = std::numeric_limits<int32_t>::max();  // nobody wants rows of the last stage
  for (size_t stage = by_stage.size(); stage-- > 0;) {
    // What was sampled from the last token is not known, nor rows that have not come.
    const int32_t held = std::min(by_stage[stage].length, sequence.settled());
    const int32_t kept = std::min(held, by_stage[stage].kept);
    int32_t start = held;
    if (next < held) start = std::max(kept, next);
    // Nobody writes into a block that others read.
    if (start % kBlockPositions != 0 && ledger_.shared(sequence.blocks[start / kBlockPositions]))
      start -= start % kBlockPositions;
    if (start < by_stage[stage].length && !CanCutTo(sequence, start)) start = 0;
    starts[stage] = next = start;
  }
  return starts;
}

InstanceScheduler::OwnerOfBlock InstanceScheduler::Owners() const {
  OwnerOfBlock owners;
  for (const Sequence* sequence : active_) {
    for (const BlockLedger::Block block : sequence->blocks) owners.try_emplace(block, sequence);
  }
  return owners;
}

bool InstanceScheduler::NotAllCompute(const Sequence& sequence) const {
  return sequence.replaying() && std::ranges::max(sequence.replay_starts) > sequence.sent;
}

std::vector<int32_t> InstanceScheduler::ComputingStages(const Sequence& sequence) const {
  std::vector<int32_t> stages(sequence.replay_starts.size());
  std::iota(stages.begin(), stages.end(), 0);
  std::erase_if(stages,
                [&](int32_t stage) { return sequence.replay_starts[stage] > sequence.sent; });
  return stages;
}

// Steps that not all stages compute carry nothing else, so they take turns with the others.
bool InstanceScheduler::ReplayIsDue(const Load& load) const {
  return !replaying_.empty() && load.chunk > 0 &&
         (!replayed_last_ || (ready_.empty() && prefilling_.empty()));
}

void InstanceScheduler::AddReplays(const Load& load, wire::StageFrame& frame, StepInFlight& step) {
  step.partial = true;
  const bool suspect = replaying_.front()->step_errors > 0;
  frame.replaying = ComputingStages(*replaying_.front());
  int64_t budget = std::min(load.chunk, shape_.max_tokens);
  for (Sequence* sequence : replaying_) {
    const bool fits =
        sequence->step_errors == 0 && !suspect && ComputingStages(*sequence) == frame.replaying;
    if (sequence != replaying_.front() && !fits) continue;
    // Until another stage joins in.
    int32_t until = sequence->replay_end;
    for (const int32_t start : sequence->replay_starts) {
      if (start > sequence->sent) until = std::min(until, start);
    }
    const auto count = static_cast<int32_t>(std::min<int64_t>(budget, until - sequence->sent));
    if (count == 0) break;
    AddTokens(*sequence, count, frame, step);
    step.prefill_tokens += count;
    budget -= count;
    try_admission_ = true;  // others may wait to share what is on its way now
  }
}

// --- Ahead of a planned change -------------------------------------------------------------------

namespace {

// Of a sequence, that the stages which are new can be given: what those that serve hold of it and,
// before a new one, have kept.
int32_t MostAhead(model::SequenceId sequence, int32_t sent,
                  std::span<const std::optional<std::vector<wire::SequenceLength>>> served) {
  int32_t most = sent;
  for (size_t stage = 0; stage < served.size(); ++stage) {
    if (!served[stage].has_value()) continue;
    const auto found = std::ranges::find(*served[stage], sequence, &wire::SequenceLength::sequence);
    if (found == served[stage]->end()) return 0;
    most = std::min(most, found->length);
    const bool before_new = stage + 1 < served.size() && !served[stage + 1].has_value();
    if (before_new) most = std::min(most, found->kept);
  }
  return most;
}

}  // namespace

// What of each sequence can be sent that `earlier` rounds have not sent.
std::vector<AheadReplay::Item> InstanceScheduler::ItemsAhead(
    std::span<const std::optional<std::vector<wire::SequenceLength>>> served,
    const AheadReplay* earlier) const {
  const OwnerOfBlock owners = Owners();
  std::map<const Sequence*, int32_t> planned;  // how much of it
  std::vector<AheadReplay::Item> items;
  for (const Sequence* sequence : active_) {
    const int32_t most = MostAhead(sequence->stage_id, sequence->sent, served);
    AheadReplay::Item item{.start = StartOf(*sequence)};
    if (const auto sent = earlier ? earlier->sent(sequence->stage_id) : std::nullopt) {
      planned[sequence] = std::max(most, *sent);
      item.begin = *sent;
      item.begun = true;
      if (most <= item.begin) continue;
    } else {
      // What it shares with an older one it shares there, too: the stages' blocks are counted
      // alike.
      const Sequence* older = nullptr;
      for (const BlockLedger::Block block : sequence->blocks) {
        const auto owner = owners.find(block);
        if (owner == owners.end() || owner->second == sequence) break;
        older = owner->second;  // which has the blocks before this one, too
        item.begin += kBlockPositions;
      }
      if (older != nullptr) {
        const auto source = planned.find(older);
        if (source == planned.end() || source->second < item.begin) continue;
        item.fork_from = older->stage_id;
      }
      if (most <= item.begin || most < kBlockPositions) continue;
      planned[sequence] = most;
    }
    item.tokens.assign(sequence->tokens.begin(), sequence->tokens.begin() + most);
    items.push_back(std::move(item));
  }
  return items;
}

std::optional<AheadReplay> InstanceScheduler::PlanAhead(
    const PipelineShape& shape,
    std::span<const std::optional<std::vector<wire::SequenceLength>>> served) const {
  std::vector<int32_t> computing;
  for (size_t stage = 0; stage < served.size(); ++stage) {
    if (!served[stage].has_value()) computing.push_back(static_cast<int32_t>(stage));
  }
  if (computing.empty() || !HasCachesOf(shape)) return std::nullopt;
  std::vector<AheadReplay::Item> items = ItemsAhead(served, nullptr);
  if (items.empty()) return std::nullopt;
  return AheadReplay(model_.instance, shape.epoch, std::move(computing), std::move(items));
}

void InstanceScheduler::PlanFurther(
    std::span<const std::optional<std::vector<wire::SequenceLength>>> served,
    AheadReplay& ahead) const {
  ahead.Add(ItemsAhead(served, &ahead));
}

int64_t InstanceScheduler::TokensBeyond(const AheadReplay& ahead) const {
  int64_t tokens = 0;
  for (const Sequence* sequence : active_)
    tokens += std::max(0, sequence->sent - ahead.sent(sequence->stage_id).value_or(0));
  return tokens;
}

int64_t InstanceScheduler::AheadChunk() const {
  return pace_.ChunkWhileDecoding(shape_.max_tokens);
}

}  // namespace potluck::coordinator
