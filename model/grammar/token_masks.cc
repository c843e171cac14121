#include "model/grammar/token_masks.h"

#include <algorithm>
#include <utility>

namespace potluck::model {
namespace {

using State = GrammarAutomaton::State;

void Allow(TokenId id, std::vector<uint64_t>& mask) {
  mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
}

}  // namespace

TokenMasks::TokenMasks(std::shared_ptr<const Grammar> grammar,
                       std::shared_ptr<const TokenTrie> vocabulary)
    : automaton_(std::move(grammar)),
      vocabulary_(std::move(vocabulary)),
      path_(vocabulary_->max_depth() + 1) {}

std::span<const uint64_t> TokenMasks::Allowed(std::span<const TokenId> text, Cursor& cursor) {
  const size_t mask_bytes = vocabulary_->vocab_size() / 8 + 1;
  if (automaton_.total_cost() > kMostCost || masks_.size() * mask_bytes > kMostMaskBytes) {
    automaton_.Forget();
    masks_.clear();
    seen_in_.clear();
    ++generation_;
  }
  Follow(text, cursor);
  const auto [mask, is_new] = masks_.try_emplace(cursor.state);
  if (is_new) mask->second = Walk(cursor.state);
  return mask->second;
}

void TokenMasks::Follow(std::span<const TokenId> text, Cursor& cursor) {
  const bool goes_on = cursor.generation == generation_ && cursor.text.size() <= text.size() &&
                       std::ranges::equal(cursor.text, text.first(cursor.text.size()));
  if (!goes_on) {
    cursor.generation = generation_;
    cursor.text.clear();
    cursor.state = automaton_.start();
  }
  for (const TokenId id : text.subspan(cursor.text.size())) {
    for (const char c : vocabulary_->BytesOf(id))
      cursor.state = automaton_.Next(cursor.state, static_cast<uint8_t>(c));
    cursor.text.push_back(id);
  }
}

std::vector<uint64_t> TokenMasks::Walk(State state) {
  std::vector<uint64_t> mask(vocabulary_->vocab_size() / 64 + 1);
  ++walk_;
  size_t cost = 0;
  bool any = false;
  path_[0] = state;
  const std::span nodes = vocabulary_->nodes();
  for (size_t i = 0; state != GrammarAutomaton::kDead && i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const State next = automaton_.Next(path_[node.depth - 1], node.byte);
    if (next == GrammarAutomaton::kDead) {
      i = node.end;
      continue;
    }
    // Counted whether or not they were known before: the mask must not depend on that.
    if (seen_in_.size() <= static_cast<size_t>(next)) seen_in_.resize(automaton_.num_states());
    if (std::exchange(seen_in_[next], walk_) != walk_) cost += automaton_.cost(next);
    if (cost > kMostCostOfWalk) {
      i = node.end;
      continue;
    }
    path_[node.depth] = next;
    for (const TokenId id : vocabulary_->IdsAt(i)) Allow(id, mask);
    any = any || !vocabulary_->IdsAt(i).empty();
    ++i;
  }
  if (!any || automaton_.accepts(state)) {
    for (const TokenId id : vocabulary_->end_of_generation()) Allow(id, mask);
  }
  return mask;
}

}  // namespace potluck::model
