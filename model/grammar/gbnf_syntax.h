// GBNF as it is written, before it becomes a Grammar. Of model/grammar's own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/grammar/characters.h"

namespace potluck::model::grammar_internal {

struct Expression {
  enum class Kind : uint8_t { kCharacters, kRule, kSequence, kChoice, kRepeat };
  static constexpr int32_t kUnbounded = -1;

  Kind kind = Kind::kSequence;
  Characters characters;          // kCharacters
  int32_t rule = 0;               // kRule
  std::vector<Expression> parts;  // of the others; kRepeat: one
  int32_t least = 0, most = 0;    // kRepeat
};

struct Rule {
  std::string name;
  Expression body;
};

// Of which the one called "root" is there, and all that are named.
absl::StatusOr<std::vector<Rule>> ReadGbnf(std::string_view text);

}  // namespace potluck::model::grammar_internal
