// Grammars as tests ask about them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <utility>

#include "model/grammar/grammar.h"
#include "model/grammar/grammar_automaton.h"

namespace potluck::model {

inline GrammarAutomaton AutomatonOf(std::string_view gbnf) {
  absl::StatusOr<Grammar> grammar = ParseGbnf(gbnf);
  EXPECT_TRUE(grammar.ok()) << grammar.status() << "\n" << gbnf;
  return GrammarAutomaton(
      std::make_shared<Grammar>(grammar.ok() ? *std::move(grammar) : Grammar()));
}

// Whether it is a text of the grammar.
inline bool Matches(GrammarAutomaton& automaton, std::string_view text) {
  GrammarAutomaton::State state = automaton.start();
  for (const char c : text) state = automaton.Next(state, static_cast<uint8_t>(c));
  return automaton.accepts(state);
}

}  // namespace potluck::model
