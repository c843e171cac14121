#include "model/grammar/grammar_automaton.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"

namespace potluck::model {

using Op = Grammar::Op;

GrammarAutomaton::GrammarAutomaton(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)), ends_(grammar_->states.size()) {
  std::array<bool, 257> begins{};  // a class, at this byte
  for (const Grammar::State& state : grammar_->states) {
    if (state.op != Op::kRead) continue;
    begins[state.low] = true;
    begins[state.high + 1] = true;
  }
  for (size_t byte = 0; byte < class_of_.size(); ++byte) {
    if (byte > 0 && begins[byte]) ++num_classes_;
    class_of_[byte] = static_cast<uint8_t>(num_classes_);
  }
  ++num_classes_;
  // What follows a state was made before it, but for loops, which do not only end.
  for (size_t i = 0; i < ends_.size(); ++i) {
    const Grammar::State& state = grammar_->states[i];
    ends_[i] = state.op == Op::kEnd || (state.op == Op::kSplit && state.other == Grammar::kNone &&
                                        state.next != Grammar::kNone && ends_[state.next]);
  }
  Forget();
}

void GrammarAutomaton::Forget() {
  stacks_.assign(1, {Grammar::kNone, kEmptyStack});
  stack_numbers_.clear();
  sets_.clear();
  set_numbers_.clear();
  total_cost_ = 0;
  next_.clear();
}

GrammarAutomaton::State GrammarAutomaton::start() {
  return Intern({{grammar_->rules[grammar_->root], kEmptyStack}});
}

GrammarAutomaton::State GrammarAutomaton::Explore(State state, uint8_t byte) {
  std::vector<Place> after;
  for (const auto& [at, stack] : sets_[state]->places) {
    const Grammar::State& read = grammar_->states[at];
    if (read.low <= byte && byte <= read.high) after.emplace_back(read.next, stack);
  }
  const State next = Intern(std::move(after));
  next_[Cell(state, byte)] = next;
  return next;
}

GrammarAutomaton::State GrammarAutomaton::Intern(std::vector<Place> open) {
  PlaceSet set;
  absl::flat_hash_set<Place> seen;
  while (!open.empty()) {
    const auto [at, stack] = open.back();
    open.pop_back();
    if (at == Grammar::kNone || !seen.emplace(at, stack).second) continue;
    if (seen.size() > kMostPlaces) return kDead;
    const Grammar::State& state = grammar_->states[at];
    switch (state.op) {
      case Op::kRead:
        set.places.emplace_back(at, stack);
        break;
      case Op::kSplit:
        open.emplace_back(state.next, stack);
        open.emplace_back(state.other, stack);
        break;
      case Op::kCall:
        open.emplace_back(grammar_->rules[state.other],
                          ends_[state.next] ? stack : Push(state.next, stack));
        break;
      case Op::kEnd:
        set.accepts = set.accepts || stack == kEmptyStack;
        if (stack != kEmptyStack) open.push_back(stacks_[stack]);
        break;
    }
  }
  if (set.places.empty() && !set.accepts) return kDead;
  std::ranges::sort(set.places);
  const auto [known, is_new] =
      set_numbers_.try_emplace(std::move(set), static_cast<State>(sets_.size()));
  if (is_new) {
    sets_.push_back(&known->first);
    total_cost_ += cost(known->second);
    next_.resize(sets_.size() * num_classes_, kUnknown);
  }
  return known->second;
}

int32_t GrammarAutomaton::Push(int32_t state, int32_t stack) {
  const auto [known, is_new] =
      stack_numbers_.try_emplace(Place{state, stack}, static_cast<int32_t>(stacks_.size()));
  if (is_new) stacks_.emplace_back(state, stack);
  return known->second;
}

}  // namespace potluck::model
