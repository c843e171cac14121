// The deterministic automaton of a grammar, built as it is walked: a state is the set of all places
// in the grammar where a text may be, each with its stack of calls. Lazily, for a stack has no
// bound; a rule that ends with a call leaves nothing on it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "model/grammar/grammar.h"

namespace potluck::model {

// Thread-compatible.
class GrammarAutomaton {
 public:
  using State = int32_t;
  static constexpr State kDead = -1;  // no text of the grammar begins so

  explicit GrammarAutomaton(std::shared_ptr<const Grammar> grammar);

  State start();
  // Texts that may be at more than 1,024 places at once are taken for dead.
  State Next(State state, uint8_t byte) {
    if (state == kDead) return kDead;
    const State known = next_[Cell(state, byte)];
    return known != kUnknown ? known : Explore(state, byte);
  }
  // Whether the text may end here.
  bool accepts(State state) const { return state != kDead && sets_[state]->accepts; }

  size_t num_states() const { return sets_.size(); }
  // About how much memory a state takes, and all that is kept, in places.
  size_t cost(State state) const { return kCostOfState + sets_[state]->places.size(); }
  size_t total_cost() const { return total_cost_ + stacks_.size(); }
  // All states, which are built anew where they are needed.
  void Forget();

 private:
  static constexpr State kUnknown = -2;
  static constexpr size_t kMostPlaces = 1024;
  static constexpr size_t kCostOfState = 128;
  static constexpr int32_t kEmptyStack = 0;

  // Before a kRead state of the grammar, with what is left to do after its rule.
  using Place = std::pair<int32_t, int32_t>;
  struct PlaceSet {
    std::vector<Place> places;  // sorted
    bool accepts = false;

    template <typename H>
    friend H AbslHashValue(H h, const PlaceSet& set) {
      return H::combine(std::move(h), set.places, set.accepts);
    }
    friend bool operator==(const PlaceSet&, const PlaceSet&) = default;
  };

  size_t Cell(State state, uint8_t byte) const {
    return static_cast<size_t>(state) * num_classes_ + class_of_[byte];
  }
  State Explore(State state, uint8_t byte);
  // The state of all that can be reached without reading; kDead where that is nothing.
  State Intern(std::vector<Place> open);
  int32_t Push(int32_t state, int32_t stack);

  const std::shared_ptr<const Grammar> grammar_;
  std::array<uint8_t, 256> class_of_{};  // bytes that no state tells apart
  size_t num_classes_ = 0;
  std::vector<bool> ends_;  // by state of the grammar: only its rule's end follows

  std::vector<Place> stacks_;  // each the state to return to, and the stack below
  absl::flat_hash_map<Place, int32_t> stack_numbers_;
  absl::node_hash_map<PlaceSet, State> set_numbers_;
  std::vector<const PlaceSet*> sets_;  // in the map
  size_t total_cost_ = 0;
  std::vector<State> next_;  // (states, classes)
};

}  // namespace potluck::model
