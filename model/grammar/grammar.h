// A context-free grammar over bytes, as a recursive transition network (Woods 1970): states with
// edges that read a byte, call another rule, or lead on at once. Characters outside ASCII are their
// UTF-8 bytes, so a token that ends within a character fits as well as any other.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace potluck::model {

struct Grammar {
  enum class Op : uint8_t {
    kRead,   // a byte from `low` to `high`, then `next`
    kCall,   // the rule `other`, then `next`
    kSplit,  // `next` or `other`; kNone is none
    kEnd,    // of the rule
  };
  static constexpr int32_t kNone = -1;
  struct State {
    Op op = Op::kEnd;
    uint8_t low = 0, high = 0;
    int32_t next = kNone;
    int32_t other = kNone;
  };

  std::vector<State> states;
  std::vector<int32_t> rules;  // the first state of each
  int32_t root = 0;            // a rule
};

inline constexpr size_t kMaxGrammarBytes = size_t{1} << 18;  // of text

// GBNF, as llama.cpp's grammars/README.md has it, with "root" as the rule to begin with:
//   name ::= "text\n" [a-z0-9] [^"\\] . other-rule ( ... | ... ) x* x+ x? x{2} x{2,} x{2,5}  # note
// Texts and classes know \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH. InvalidArgument, with the
// line, for what is no grammar: an unknown rule, one that begins with itself (left recursion), or
// more than 2^18 states once repetitions are written out.
absl::StatusOr<Grammar> ParseGbnf(std::string_view text);

// Any bytes up to the first `marker`, then at most two line feeds, then the grammar.
Grammar After(std::string_view marker, Grammar grammar);

}  // namespace potluck::model
