#include "model/grammar/number_grammar.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace potluck::model {
namespace {

using Bound = NumberBounds::Bound;

// Without a bound: 16 digits.
constexpr int64_t kLargest = 9'999'999'999'999'999;

std::string Digits(size_t count) {
  return count == 0 ? "" : count == 1 ? "[0-9]" : absl::StrCat("[0-9]{", count, "}");
}

// Of as many digits each, both ends in.
std::string SameLength(const std::string& low, const std::string& high) {
  if (low.empty()) return "\"\"";
  if (low == high) return absl::StrCat("\"", low, "\"");
  const std::string low_rest = low.substr(1), high_rest = high.substr(1);
  const std::string nines(low_rest.size(), '9'), zeros(low_rest.size(), '0');
  if (low[0] == high[0])
    return absl::StrCat("\"", low.substr(0, 1), "\" ", SameLength(low_rest, high_rest));
  char first = low[0], last = high[0];
  std::vector<std::string> ways;
  if (low_rest != zeros) {
    ways.push_back(absl::StrCat("\"", low.substr(0, 1), "\" ", SameLength(low_rest, nines)));
    ++first;
  }
  std::string at_end;
  if (high_rest != nines) {
    at_end = absl::StrCat("\"", high.substr(0, 1), "\" ", SameLength(zeros, high_rest));
    --last;
  }
  if (first <= last) {
    const std::string range = {'[', first, '-', last, ']'};
    ways.push_back(absl::StrCat(range, " ", Digits(low_rest.size())));
  }
  if (!at_end.empty()) ways.push_back(at_end);
  return absl::StrCat("(", absl::StrJoin(ways, " | "), ")");
}

// 0 <= low, both ends in; empty where there is none.
std::string Magnitudes(int64_t low, int64_t high) {
  std::vector<std::string> ways;
  for (int64_t least = 0, beyond = 10; least <= high && least <= kLargest;
       least = beyond, beyond *= 10) {
    const int64_t from = std::max(low, least), to = std::min(high, beyond - 1);
    if (from <= to) ways.push_back(SameLength(absl::StrCat(from), absl::StrCat(to)));
  }
  return ways.empty() ? "" : absl::StrCat("(", absl::StrJoin(ways, " | "), ")");
}

// 0 <= low; with fractions.
std::string FractionalMagnitudes(const Bound& low, const Bound& high) {
  if (low.value > high.value) return "";
  if (low.value == high.value) {
    if (low.open || high.open) return "";
    return absl::StrCat("\"", low.value, "\" no-fraction?");
  }
  std::vector<std::string> ways = {
      absl::StrCat("\"", low.value, "\" ", low.open ? "some-fraction" : "fraction?")};
  if (const std::string between = Magnitudes(low.value + 1, high.value - 1); !between.empty())
    ways.push_back(absl::StrCat(between, " fraction?"));
  if (!high.open) ways.push_back(absl::StrCat("\"", high.value, "\" no-fraction?"));
  return absl::StrJoin(ways, " | ");
}

}  // namespace

std::string BoundedInteger(const NumberBounds& bounds) {
  int64_t low = -kLargest, high = kLargest;
  if (bounds.low.has_value()) low = bounds.low->value + (bounds.low->open ? 1 : 0);
  if (bounds.high.has_value()) high = bounds.high->value - (bounds.high->open ? 1 : 0);
  if (low > high) return "";
  std::vector<std::string> ways;
  if (low < 0)
    ways.push_back(absl::StrCat("\"-\" ", Magnitudes(std::max<int64_t>(1, -high), -low)));
  if (high >= 0) ways.push_back(Magnitudes(std::max<int64_t>(0, low), high));
  return absl::StrJoin(ways, " | ");
}

std::string BoundedNumber(const NumberBounds& bounds) {
  const Bound low = bounds.low.value_or(Bound{-kLargest, false});
  const Bound high = bounds.high.value_or(Bound{kLargest, false});
  std::vector<std::string> ways;
  if (low.value < 0) {
    // Zero has no sign.
    const Bound nearest = high.value < 0 ? Bound{-high.value, high.open} : Bound{0, true};
    const std::string below = FractionalMagnitudes(nearest, {-low.value, low.open});
    if (!below.empty()) ways.push_back(absl::StrCat("\"-\" (", below, ")"));
  }
  if (high.value >= 0) {
    const std::string above = FractionalMagnitudes(low.value < 0 ? Bound{0, false} : low, high);
    if (!above.empty()) ways.push_back(above);
  }
  return absl::StrJoin(ways, " | ");
}

}  // namespace potluck::model
