#include "model/grammar/grammar.h"

#include <algorithm>
#include <array>
#include <deque>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/grammar/gbnf_syntax.h"

namespace potluck::model {
namespace {

using grammar_internal::Expression;
using grammar_internal::Rule;
using Op = Grammar::Op;

constexpr size_t kMostStates = size_t{1} << 18;

struct ByteRange {
  uint8_t low, high;
};

// Characters whose UTF-8 is one byte of each range.
struct Utf8Ranges {
  size_t length = 0;
  std::array<ByteRange, 4> bytes{};
};

Utf8Ranges Encode(char32_t first, char32_t last, size_t length) {
  constexpr std::array<uint8_t, 5> kLead = {0, 0x00, 0xC0, 0xE0, 0xF0};
  Utf8Ranges ranges{.length = length};
  for (size_t i = length; i-- > 1;) {
    ranges.bytes[i] = {static_cast<uint8_t>(0x80 | (first & 0x3F)),
                       static_cast<uint8_t>(0x80 | (last & 0x3F))};
    first >>= 6;
    last >>= 6;
  }
  ranges.bytes[0] = {static_cast<uint8_t>(kLead[length] | first),
                     static_cast<uint8_t>(kLead[length] | last)};
  return ranges;
}

// Cuts until each byte's range holds whatever the other bytes are. Both ends have `length` bytes.
void AppendRanges(char32_t first, char32_t last, size_t length, std::vector<Utf8Ranges>& out) {
  for (size_t i = 1; i < length; ++i) {
    const char32_t rest = (char32_t{1} << (6 * i)) - 1;  // what the last i bytes hold
    if ((first & ~rest) == (last & ~rest)) continue;
    if ((first & rest) != 0) {
      AppendRanges(first, first | rest, length, out);
      AppendRanges((first | rest) + 1, last, length, out);
      return;
    }
    if ((last & rest) != rest) {
      AppendRanges(first, (last & ~rest) - 1, length, out);
      AppendRanges(last & ~rest, last, length, out);
      return;
    }
  }
  out.push_back(Encode(first, last, length));
}

std::vector<Utf8Ranges> Utf8Of(const grammar_internal::Characters& characters) {
  struct Encoded {
    char32_t first, last;
    size_t length;
  };
  // Surrogates have no UTF-8.
  constexpr Encoded kEncoded[] = {{0, 0x7F, 1},
                                  {0x80, 0x7FF, 2},
                                  {0x800, 0xD7FF, 3},
                                  {0xE000, 0xFFFF, 3},
                                  {0x10000, 0x10FFFF, 4}};
  std::vector<Utf8Ranges> ranges;
  for (const auto& [first, last] : characters) {
    for (const Encoded& part : kEncoded) {
      const char32_t from = std::max(first, part.first), to = std::min(last, part.last);
      if (from <= to) AppendRanges(from, to, part.length, ranges);
    }
  }
  return ranges;
}

// From the end to the beginning: every expression is built before what follows it.
class Builder {
 public:
  absl::StatusOr<Grammar> Build(const std::vector<Rule>& rules) {
    for (size_t i = 0; i < rules.size(); ++i) {
      if (rules[i].name == "root") grammar_.root = static_cast<int32_t>(i);
      grammar_.rules.push_back(Add(rules[i].body, AddState({.op = Op::kEnd})));
    }
    if (is_full()) {
      return absl::InvalidArgumentError(
          absl::StrCat("grammar: it has more than ", kMostStates,
                       " states once its repetitions are written out; bound them lower"));
    }
    return std::move(grammar_);
  }

 private:
  // Then nothing more is added: what is there will not be used.
  bool is_full() const { return grammar_.states.size() >= kMostStates; }

  int32_t AddState(const Grammar::State& state) {
    if (!is_full()) grammar_.states.push_back(state);
    return static_cast<int32_t>(grammar_.states.size()) - 1;
  }
  int32_t AddSplit(int32_t a, int32_t b) {
    return AddState({.op = Op::kSplit, .next = a, .other = b});
  }

  int32_t Add(const Expression& expression, int32_t next) {
    switch (expression.kind) {
      case Expression::Kind::kCharacters:
        return AddCharacters(expression, next);
      case Expression::Kind::kRule:
        return AddState({.op = Op::kCall, .next = next, .other = expression.rule});
      case Expression::Kind::kSequence:
        for (size_t i = expression.parts.size(); i-- > 0 && !is_full();)
          next = Add(expression.parts[i], next);
        return next;
      case Expression::Kind::kChoice:
        return AddChoice(expression, next);
      case Expression::Kind::kRepeat:
        return AddRepeat(expression, next);
    }
    return next;
  }

  // An empty class reads nothing: a split without a way on.
  int32_t AddCharacters(const Expression& expression, int32_t next) {
    int32_t entry = Grammar::kNone;
    for (const Utf8Ranges& ranges : Utf8Of(expression.characters)) {
      int32_t way = next;
      for (size_t i = ranges.length; i-- > 0;) {
        way = AddState({.op = Op::kRead,
                        .low = ranges.bytes[i].low,
                        .high = ranges.bytes[i].high,
                        .next = way});
      }
      entry = entry == Grammar::kNone ? way : AddSplit(way, entry);
    }
    return entry == Grammar::kNone ? AddSplit(Grammar::kNone, Grammar::kNone) : entry;
  }

  int32_t AddChoice(const Expression& expression, int32_t next) {
    int32_t entry = Grammar::kNone;
    for (size_t i = expression.parts.size(); i-- > 0 && !is_full();) {
      const int32_t way = Add(expression.parts[i], next);
      entry = entry == Grammar::kNone ? way : AddSplit(way, entry);
    }
    return entry;
  }

  int32_t AddRepeat(const Expression& expression, int32_t next) {
    const Expression& part = expression.parts.front();
    int32_t entry = next;
    if (expression.most == Expression::kUnbounded) {
      entry = AddSplit(Grammar::kNone, next);
      const int32_t again = Add(part, entry);
      grammar_.states[entry].next = again;
    } else {
      for (int32_t i = expression.least; i < expression.most && !is_full(); ++i)
        entry = AddSplit(Add(part, entry), next);
    }
    for (int32_t i = 0; i < expression.least && !is_full(); ++i) entry = Add(part, entry);
    return entry;
  }

  Grammar grammar_;
};

// A rule that begins with itself would be called without end before a byte is read.
class LeftRecursion {
 public:
  LeftRecursion(const Grammar& grammar, const std::vector<Rule>& rules)
      : grammar_(grammar), rules_(rules), may_be_empty_(rules.size()) {}

  absl::Status Check() {
    FindEmptyRules();
    enum class Mark : uint8_t { kNew, kOpen, kDone };
    std::vector<Mark> marks(rules_.size(), Mark::kNew);
    struct Visit {
      int32_t rule;
      std::vector<int32_t> callees;
    };
    std::vector<Visit> path;
    for (size_t first = 0; first < rules_.size(); ++first) {
      if (marks[first] != Mark::kNew) continue;
      path.push_back({static_cast<int32_t>(first), Beginnings(static_cast<int32_t>(first)).calls});
      marks[first] = Mark::kOpen;
      while (!path.empty()) {
        if (path.back().callees.empty()) {
          marks[path.back().rule] = Mark::kDone;
          path.pop_back();
          continue;
        }
        const int32_t rule = path.back().callees.back();
        path.back().callees.pop_back();
        if (marks[rule] == Mark::kOpen) {
          return absl::InvalidArgumentError(
              absl::StrCat("grammar: the rule \"", rules_[rule].name,
                           "\" may begin with itself (left recursion); write it as a repetition"));
        }
        if (marks[rule] == Mark::kDone) continue;
        marks[rule] = Mark::kOpen;
        path.push_back({rule, Beginnings(rule).calls});
      }
    }
    return absl::OkStatus();
  }

 private:
  struct Begin {
    bool reaches_end = false;
    std::vector<int32_t> calls;  // before a byte is read
  };

  Begin Beginnings(int32_t rule) {
    Begin begin;
    ++visit_;
    visited_.resize(grammar_.states.size());
    std::vector<int32_t> open = {grammar_.rules[rule]};
    while (!open.empty()) {
      const int32_t at = open.back();
      open.pop_back();
      if (at == Grammar::kNone || std::exchange(visited_[at], visit_) == visit_) continue;
      const Grammar::State& state = grammar_.states[at];
      if (state.op == Op::kEnd) begin.reaches_end = true;
      if (state.op == Op::kSplit) {
        open.push_back(state.next);
        open.push_back(state.other);
      }
      if (state.op == Op::kCall) {
        begin.calls.push_back(state.other);
        if (may_be_empty_[state.other]) open.push_back(state.next);
      }
    }
    return begin;
  }

  void FindEmptyRules() {
    std::vector<std::vector<int32_t>> callers(rules_.size());  // that begin with the rule
    std::deque<int32_t> open;
    std::vector<bool> is_open(rules_.size(), true);
    for (size_t i = 0; i < rules_.size(); ++i) open.push_back(static_cast<int32_t>(i));
    while (!open.empty()) {
      const int32_t rule = open.front();
      open.pop_front();
      is_open[rule] = false;
      if (may_be_empty_[rule]) continue;
      const Begin begin = Beginnings(rule);
      may_be_empty_[rule] = begin.reaches_end;
      for (const int32_t callee : begin.calls) callers[callee].push_back(rule);
      if (!begin.reaches_end) continue;
      for (const int32_t caller : std::exchange(callers[rule], {})) {
        if (!is_open[caller]) open.push_back(caller);
        is_open[caller] = true;
      }
    }
  }

  const Grammar& grammar_;
  const std::vector<Rule>& rules_;
  std::vector<bool> may_be_empty_;
  std::vector<int64_t> visited_;  // by state: the last visit
  int64_t visit_ = 0;
};

}  // namespace

absl::StatusOr<Grammar> ParseGbnf(std::string_view text) {
  if (text.size() > kMaxGrammarBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("grammar: it has ", text.size(), " bytes, more than ", kMaxGrammarBytes));
  }
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Rule> rules, grammar_internal::ReadGbnf(text));
  POTLUCK_ASSIGN_OR_RETURN(Grammar grammar, Builder().Build(rules));
  POTLUCK_RETURN_IF_ERROR(LeftRecursion(grammar, rules).Check());
  return grammar;
}

Grammar After(std::string_view marker, Grammar grammar) {
  std::vector<Grammar::State>& states = grammar.states;
  const auto add = [&](const Grammar::State& state) {
    states.push_back(state);
    return static_cast<int32_t>(states.size()) - 1;
  };
  const int32_t end = add({.op = Op::kEnd});
  int32_t entry = add({.op = Op::kCall, .next = end, .other = grammar.root});
  for (int i = 0; i < 2; ++i) {
    const int32_t line = add({.op = Op::kRead, .low = '\n', .high = '\n', .next = entry});
    entry = add({.op = Op::kSplit, .next = line, .other = entry});
  }
  // By how much of the marker the text ends with (Knuth, Morris and Pratt 1977).
  const size_t length = marker.size();
  const auto first = static_cast<int32_t>(states.size());
  states.resize(states.size() + length);  // where each of them begins
  const auto to = [&](size_t matched) {
    return matched == length ? entry : first + static_cast<int32_t>(matched);
  };
  for (size_t i = 0; i < length; ++i) {
    std::array<size_t, 256> next{};
    for (size_t byte = 0; byte < next.size(); ++byte) {
      // As after the border, where the marker does not go on so.
      size_t matched = i;
      while (matched > 0 && static_cast<uint8_t>(marker[matched]) != byte) {
        size_t shorter = matched - 1;
        while (marker.substr(0, shorter) != marker.substr(matched - shorter, shorter)) --shorter;
        matched = shorter;
      }
      next[byte] = static_cast<uint8_t>(marker[matched]) == byte ? matched + 1 : 0;
    }
    int32_t ways = Grammar::kNone;
    for (size_t low = 0; low < next.size();) {
      size_t high = low;
      while (high + 1 < next.size() && next[high + 1] == next[low]) ++high;
      const int32_t way = add({.op = Op::kRead,
                               .low = static_cast<uint8_t>(low),
                               .high = static_cast<uint8_t>(high),
                               .next = to(next[low])});
      ways = add({.op = Op::kSplit, .next = way, .other = ways});
      low = high + 1;
    }
    states[to(i)] = {.op = Op::kSplit, .next = ways};
  }
  grammar.root = static_cast<int32_t>(grammar.rules.size());
  grammar.rules.push_back(to(0));
  return grammar;
}

}  // namespace potluck::model
