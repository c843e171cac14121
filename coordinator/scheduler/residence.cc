// Who is on the stages: admission, sharing, preemption, and what is kept.
#include <algorithm>
#include <utility>

#include "coordinator/scheduler/instance_scheduler.h"

namespace potluck::coordinator {
namespace {

// Of the answer, that must fit beside the prompt before a request is admitted: so that it is not
// sent away again at once.
constexpr int32_t kAnswerRoom = 64;
// Requests in the queue that may be passed over at a time while they wait for what they can share:
// each look at one costs a comparison with all that the stages hold.
constexpr int kMostPassedOver = 8;

}  // namespace

// --- Sharing -------------------------------------------------------------------------------------

// Full blocks that both begin with, within the first `length` positions of the other.
int32_t InstanceScheduler::CommonBlocks(const Sequence& sequence, const Sequence& other,
                                        int32_t length) const {
  length = std::min(length, sequence.settled());
  if (model_.kinds_matter && sequence.prompt_length != other.prompt_length)
    length = std::min({length, sequence.prompt_length, other.prompt_length});
  if (length < kBlockPositions) return 0;
  const auto mine = sequence.tokens.begin();
  const auto difference = std::mismatch(mine, mine + length, other.tokens.begin());
  return static_cast<int32_t>(difference.first - mine) / kBlockPositions;
}

// As KvCache::CheckCut: a layer with a window gives back the blocks that have left it.
bool InstanceScheduler::CanCutTo(const Sequence& sequence, int32_t length) const {
  if (model_.window == 0) return true;
  const auto first_block = [&](int64_t positions) {
    return std::max<int64_t>(0, positions + 1 - model_.window) / kBlockPositions;
  };
  return first_block(length) >= first_block(sequence.reached);
}

InstanceScheduler::Prefix InstanceScheduler::BestPrefix(const Sequence& sequence) const {
  Prefix best;
  int32_t soon = 0;
  const auto consider = [&](Sequence* other) {
    int32_t blocks = CommonBlocks(sequence, *other, other->sent);
    // With a window, only the newest end can be continued.
    while (blocks > 0 && !CanCutTo(*other, blocks * kBlockPositions)) --blocks;
    if (blocks * kBlockPositions > best.length)
      best = {.source = other, .length = blocks * kBlockPositions};
  };
  for (Sequence* other : kept_) consider(other);
  for (Sequence* other : active_) {
    consider(other);
    if (other->unsent() > 1 && !other->reader_paused && model_.window == 0)
      soon = std::max(soon, CommonBlocks(sequence, *other, other->size()) * kBlockPositions);
  }
  best.worth_waiting = soon > best.length;
  return best;
}

int32_t InstanceScheduler::HeldPrefix(std::vector<model::TokenId> prompt) const {
  Sequence asked;
  asked.tokens = std::move(prompt);
  asked.prompt_length = asked.size();
  return BestPrefix(asked).length;
}

// --- Admission -----------------------------------------------------------------------------------

void InstanceScheduler::Admit(absl::Duration now) {
  if (!try_admission_) return;
  int passed_over = 0;
  // In the order in which they came: who needs much space is not overtaken for ever.
  for (auto next = waiting_.begin(); next != waiting_.end();) {
    Sequence& sequence = *(next++)->second;
    if (sequence.reader_paused) continue;
    const Prefix prefix = BestPrefix(sequence);
    // What it waits for comes by itself: few need wait with it.
    if (prefix.worth_waiting && ++passed_over <= kMostPassedOver) continue;
    if (prefix.worth_waiting || !TryAdmit(sequence, prefix, now)) break;
    // Those that were sent away for it may stand before `next` now; they wait for the next call.
  }
  try_admission_ = false;
}

bool InstanceScheduler::TryAdmit(Sequence& sequence, Prefix prefix, absl::Duration now) {
  if (!MakeSlot(prefix) || !MakeRoom(sequence, prefix)) return false;
  if (!sequence.admitted_at.has_value()) {
    sequence.admitted_at = now;
    sequence.cached_tokens = std::min(prefix.length, sequence.prompt_length);
    if (sequence.request.tell_progress) TellProgress(sequence, sequence.cached_tokens);
  }
  Begin(sequence, prefix);
  return true;
}

// One of the stages' sequences is the probe's.
bool InstanceScheduler::MakeSlot(Prefix& prefix) {
  while (num_active() + num_kept() >= shape_.max_sequences - 1) {
    if (EvictOldestKept(prefix.source)) continue;
    Sequence* victim = PausedVictim(prefix.source);
    if (victim == nullptr && prefix.source != nullptr) {
      prefix = {};
      continue;
    }
    if (victim == nullptr) return false;
    Preempt(*victim);
  }
  return true;
}

bool InstanceScheduler::MakeRoom(const Sequence& sequence, Prefix& prefix) {
  const int64_t most_answer = sequence.request.max_tokens < 0
                                  ? kAnswerRoom
                                  : sequence.request.max_tokens - sequence.generated();
  const int64_t wanted_positions =
      std::min<int64_t>(sequence.size() + std::min<int64_t>(kAnswerRoom, most_answer),
                        std::max<int64_t>(PositionLimit(), sequence.size()));
  // The others go on growing, too.
  const auto wanted = [&] {
    return static_cast<int32_t>(BlocksFor(wanted_positions) - prefix.length / kBlockPositions +
                                num_active());
  };
  while (ledger_.num_free() < wanted()) {
    if (EvictOldestKept(prefix.source)) continue;
    Sequence* victim = PausedVictim(prefix.source);
    if (victim == nullptr && prefix.source != nullptr && prefix.source->reader_paused &&
        prefix.source->phase == Sequence::Phase::kActive) {
      victim = prefix.source;  // its reader holds up nobody else
      prefix = {};
    }
    if (victim == nullptr) break;
    Preempt(*victim);
  }
  if (ledger_.num_free() >= wanted()) return true;
  // What a kept source holds beyond the prefix goes when it has been forked.
  const int32_t shared = prefix.length / kBlockPositions;
  int32_t available = ledger_.num_free();
  if (prefix.source != nullptr && prefix.source->phase == Sequence::Phase::kKept) {
    const auto& blocks = prefix.source->blocks;
    for (size_t i = shared; i < blocks.size(); ++i) available += ledger_.shared(blocks[i]) ? 0 : 1;
  }
  // Alone, it takes what there is.
  return available >= (active_.empty() ? BlocksFor(sequence.size()) - shared : wanted());
}

void InstanceScheduler::Begin(Sequence& sequence, const Prefix& prefix) {
  waiting_.erase(sequence.id);
  sequence.phase = Sequence::Phase::kActive;
  sequence.stage_id = next_stage_id_++;
  active_.insert(
      std::ranges::lower_bound(active_, sequence.id, {}, [](const Sequence* s) { return s->id; }),
      &sequence);
  wire::BeginCommand begin{.start = StartOf(sequence)};
  sequence.sent = sequence.reached = prefix.length;
  if (prefix.source != nullptr) {
    begin.fork_from = prefix.source->stage_id;
    begin.fork_length = prefix.length;
    ledger_.Share(prefix.source->blocks, prefix.length / kBlockPositions, sequence.blocks);
    counters_.shared_tokens += prefix.length;
  }
  commands_.push_back(std::move(begin));
  while (ledger_.num_free() < BlocksFor(sequence.size()) - BlocksFor(sequence.sent)) {
    if (!EvictOldestKept(nullptr)) break;
  }
  ledger_.Grow(sequence.blocks, sequence.size());
}

int32_t InstanceScheduler::num_used_blocks() const {
  std::set<BlockLedger::Block> used;
  for (const Sequence* sequence : active_)
    used.insert(sequence->blocks.begin(), sequence->blocks.end());
  return static_cast<int32_t>(used.size());
}

// --- Giving way ----------------------------------------------------------------------------------

// Room for the token that is to be sent. False: the sequence itself has had to go.
bool InstanceScheduler::GrowOrPreempt(Sequence& sequence) {
  const auto needed = [&] {
    return BlocksFor(sequence.size()) > static_cast<int32_t>(sequence.blocks.size());
  };
  while (needed() && ledger_.num_free() == 0) {
    if (EvictOldestKept(nullptr)) continue;
    Sequence* victim = PausedVictim(nullptr);
    if (victim == nullptr) victim = active_.back();
    if (victim == &sequence && active_.size() == 1) {
      Fail(sequence, absl::ResourceExhaustedError(
                         "the cluster's memory holds no more of this answer: add a device"));
      return false;
    }
    Preempt(*victim);
    if (victim == &sequence) return false;
  }
  ledger_.Grow(sequence.blocks, sequence.size());
  return true;
}

// The youngest of those whose readers do not read.
Sequence* InstanceScheduler::PausedVictim(const Sequence* but) const {
  for (auto it = active_.rbegin(); it != active_.rend(); ++it) {
    if ((*it)->reader_paused && *it != but) return *it;
  }
  return nullptr;
}

void InstanceScheduler::Preempt(Sequence& sequence) {
  LeaveStages(sequence);
  sequence.phase = Sequence::Phase::kWaiting;
  waiting_.emplace(sequence.id, &sequence);
  ++counters_.preemptions;
}

bool InstanceScheduler::EvictOldestKept(const Sequence* but) {
  for (Sequence* sequence : kept_) {
    if (sequence == but) continue;
    Forget(*sequence);
    return true;
  }
  return false;
}

void InstanceScheduler::LeaveStages(Sequence& sequence) {
  if (sequence.phase == Sequence::Phase::kWaiting) return;
  if (sequence.phase == Sequence::Phase::kActive) std::erase(active_, &sequence);
  if (sequence.phase == Sequence::Phase::kKept) std::erase(kept_, &sequence);
  commands_.emplace_back(model::FreeCommand{sequence.stage_id});
  ledger_.Cut(sequence.blocks, 0);
  sequence.sent = sequence.reached = sequence.replay_end = 0;
  sequence.replay_starts.clear();
  try_admission_ = true;
}

void InstanceScheduler::Forget(Sequence& sequence) {
  LeaveStages(sequence);
  try_admission_ = true;  // who waited behind it need not
  waiting_.erase(sequence.id);
  sequences_.erase(sequence.id);
}

// --- After a change of plan ----------------------------------------------------------------------

// One that has ended: all stages hold `least` of it, some `most`.
void InstanceScheduler::TrimKept(Sequence& sequence, int32_t least, int32_t most) {
  int32_t length = least;
  // Nobody writes into a block that others read.
  if (length % kBlockPositions != 0 && ledger_.shared(sequence.blocks[length / kBlockPositions]))
    length -= length % kBlockPositions;
  if (length < most && !CanCutTo(sequence, length)) length = 0;
  if (length < kBlockPositions) {
    Forget(sequence);
    return;
  }
  if (length < most)
    commands_.emplace_back(model::TrimCommand{.sequence = sequence.stage_id, .length = length});
  sequence.sent = length;
  ledger_.Cut(sequence.blocks, BlocksFor(length));
}

// What trimming gave back is needed again for what is known already; cuts of shared blocks may have
// made that more than there is. Oldest first.
void InstanceScheduler::ReserveAgain() {
  for (size_t i = 0; i < active_.size(); ++i) {
    Sequence& sequence = *active_[i];
    const auto enough = [&] {
      return BlocksFor(sequence.size()) - static_cast<int32_t>(sequence.blocks.size()) <=
             ledger_.num_free();
    };
    while (!enough() && EvictOldestKept(nullptr)) continue;
    while (!enough() && active_.back() != &sequence) Preempt(*active_.back());
    if (!enough()) {
      Preempt(sequence);
      return;  // it was the last
    }
    ledger_.Grow(sequence.blocks, sequence.size());
  }
}

}  // namespace potluck::coordinator
