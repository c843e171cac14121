// Sizes that are known before a step's own numbers are: linear expressions over T (new tokens in
// the step), O (rows whose logits are wanted) and P (rows that are wanted themselves, without
// logits). All shapes of a decoder's graph are such expressions, so they are derived once and a
// step only evaluates them. After Transformer-Lite, arXiv 2403.20041, a. (S of the design, the
// attended span, sizes nothing in the graph: attention's scratch belongs to the backend.)
#pragma once

#include <algorithm>
#include <cstdint>

namespace potluck::model {

// The values of the symbols in one step, and their largest values in a plan. 0 <= O, 0 <= P,
// O + P <= T. In a plan each of them may be as large by itself.
struct Symbols {
  int64_t tokens = 0;       // T
  int64_t outputs = 0;      // O
  int64_t hidden_rows = 0;  // P
};

// per_token * T + per_output * O + per_hidden_row * P + constant
struct Expression {
  int64_t constant = 0;
  int64_t per_token = 0;
  int64_t per_output = 0;
  int64_t per_hidden_row = 0;

  static constexpr Expression Tokens(int64_t factor = 1) { return {0, factor, 0, 0}; }
  static constexpr Expression Outputs() { return {0, 0, 1, 0}; }
  static constexpr Expression HiddenRows() { return {0, 0, 0, 1}; }

  constexpr int64_t Evaluate(const Symbols& symbols) const {
    return constant + per_token * symbols.tokens + per_output * symbols.outputs +
           per_hidden_row * symbols.hidden_rows;
  }
  friend constexpr Expression operator*(Expression e, int64_t factor) {
    return {e.constant * factor, e.per_token * factor, e.per_output * factor,
            e.per_hidden_row * factor};
  }
  friend constexpr bool operator==(const Expression&, const Expression&) = default;
};

// Whether a <= b for all symbols with O + P <= T, each of them from 0 to its largest; P's is 0 or
// T's. A linear difference is largest at a corner of that range.
constexpr bool AlwaysAtMost(const Expression& a, const Expression& b, const Symbols& largest) {
  const auto [tokens, outputs, hidden_rows] = largest;
  const Symbols corners[] = {{0, 0, 0},
                             {tokens, 0, 0},
                             {tokens, outputs, 0},
                             {outputs, outputs, 0},
                             {tokens, 0, hidden_rows},
                             {tokens, outputs, std::min(hidden_rows, tokens - outputs)}};
  for (const Symbols& corner : corners) {
    if (a.Evaluate(corner) > b.Evaluate(corner)) return false;
  }
  return true;
}

}  // namespace potluck::model
