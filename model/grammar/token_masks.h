// Which tokens may come next in a text that follows a grammar: a function of grammar, vocabulary
// and the text alone, so it is the same on every machine and after every failover.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "model/grammar/grammar_automaton.h"
#include "model/grammar/token_trie.h"

namespace potluck::model {

// Thread-compatible. Masks are kept, for places in a text come again: the first of a place costs a
// walk through the vocabulary, the others a look.
class TokenMasks {
 public:
  // How far a text has been followed, for the next question about it.
  class Cursor {
    friend class TokenMasks;
    int64_t generation = 0;
    std::vector<TokenId> text;
    GrammarAutomaton::State state = GrammarAutomaton::kDead;
  };

  TokenMasks(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> vocabulary);

  // By id, 64 in a word, the first in its lowest bit: tokens that go on from `text`, and where it
  // may end those that end an answer. These alone, too, where nothing can follow: in a text that
  // does not keep to the grammar, or that the vocabulary has no tokens for. Valid until the next
  // call. A cursor belongs to one text, which may also have become another one.
  std::span<const uint64_t> Allowed(std::span<const TokenId> text, Cursor& cursor);

 private:
  // What is above is forgotten: some 8 MiB of states, and of masks. A phone may hold them, too.
  static constexpr size_t kMostCost = size_t{1} << 20;
  static constexpr size_t kMostMaskBytes = size_t{8} << 20;
  // That one mask may look at: a hostile grammar has no end of states.
  static constexpr size_t kMostCostOfWalk = size_t{1} << 19;

  void Follow(std::span<const TokenId> text, Cursor& cursor);
  std::vector<uint64_t> Walk(GrammarAutomaton::State state);

  GrammarAutomaton automaton_;
  const std::shared_ptr<const TokenTrie> vocabulary_;
  absl::flat_hash_map<GrammarAutomaton::State, std::vector<uint64_t>> masks_;
  int64_t generation_ = 1;  // of the automaton's states
  std::vector<GrammarAutomaton::State> path_;
  std::vector<int64_t> seen_in_;  // by state: the last walk
  int64_t walk_ = 0;
};

}  // namespace potluck::model
