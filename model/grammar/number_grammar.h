// Numbers between two bounds, in GBNF. Of model/grammar's own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace potluck::model {

inline constexpr int64_t kMostNumber = 999'999'999'999'999;  // for a bound

struct NumberBounds {
  struct Bound {
    int64_t value = 0;  // at most kMostNumber, as its opposite
    bool open = false;  // the bound itself lies outside
  };
  std::optional<Bound> low, high;
};

// Whole numbers; empty where there is none.
std::string BoundedInteger(const NumberBounds& bounds);
// Numbers without exponents, with the rules "fraction", "some-fraction" (not zero) and
// "no-fraction"; empty where there is none.
std::string BoundedNumber(const NumberBounds& bounds);

}  // namespace potluck::model
