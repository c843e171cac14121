// Sizes that are known before a step's own numbers are: linear expressions over T (new tokens in
// the step) and O (rows whose logits are wanted). All shapes of a decoder's graph are such
// expressions, so they are derived once and a step only evaluates them. After Transformer-Lite,
// arXiv 2403.20041, a. (The third symbol of the design, S, the attended span, sizes nothing in the
// graph: attention's scratch belongs to the backend.)
#pragma once

#include <cstdint>

namespace potluck::model {

// The values of the symbols in one step, and their largest values in a plan. 0 <= O <= T.
struct Symbols {
  int64_t tokens = 0;   // T
  int64_t outputs = 0;  // O
};

// per_token * T + per_output * O + constant
struct Expression {
  int64_t constant = 0;
  int64_t per_token = 0;
  int64_t per_output = 0;

  static constexpr Expression Tokens(int64_t factor = 1) { return {0, factor, 0}; }
  static constexpr Expression Outputs(int64_t factor = 1) { return {0, 0, factor}; }

  constexpr int64_t Evaluate(const Symbols& symbols) const {
    return constant + per_token * symbols.tokens + per_output * symbols.outputs;
  }
  friend constexpr Expression operator*(Expression e, int64_t factor) {
    return {e.constant * factor, e.per_token * factor, e.per_output * factor};
  }
  friend constexpr bool operator==(const Expression&, const Expression&) = default;
};

// Whether a <= b for all symbols with 0 <= O <= T <= largest.tokens, O <= largest.outputs. A linear
// difference is largest at a corner of that range.
constexpr bool AlwaysAtMost(const Expression& a, const Expression& b, const Symbols& largest) {
  const Symbols corners[] = {{0, 0},
                             {largest.tokens, 0},
                             {largest.tokens, largest.outputs},
                             {largest.outputs, largest.outputs}};
  for (const Symbols& corner : corners) {
    if (a.Evaluate(corner) > b.Evaluate(corner)) return false;
  }
  return true;
}

}  // namespace potluck::model
