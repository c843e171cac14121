// Sets of characters, as classes of grammars and patterns have them. Of model/grammar's own.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

namespace potluck::model::grammar_internal {

inline constexpr char32_t kLastCodePoint = 0x10FFFF;

using Characters = std::vector<std::pair<char32_t, char32_t>>;  // ranges, both ends in

// In order, and apart.
inline Characters AllBut(Characters ranges) {
  std::ranges::sort(ranges);
  Characters others;
  char32_t next = 0;
  for (const auto& [first, last] : ranges) {
    if (first > next) others.emplace_back(next, first - 1);
    next = std::max<char32_t>(next, last + 1);
  }
  if (next <= kLastCodePoint) others.emplace_back(next, kLastCodePoint);
  return others;
}

}  // namespace potluck::model::grammar_internal
