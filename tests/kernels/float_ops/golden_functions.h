// Exactly rounded values of elementary functions (tests/golden/numerics), and distances from them.
#pragma once

#include <string>
#include <vector>

namespace potluck::kernels {

struct GoldenValue {
  std::string function;  // "exp"
  float x = 0, y = 0;    // y: pow's exponent
  double exact = 0;
};

// Fails the running test where the file is missing or damaged.
std::vector<GoldenValue> GoldenFunctionValues();

// How far `got` is from `exact`, in units in the last place of a number of that size; 0 for two
// NaN, infinity where only one is NaN or infinite.
double FloatUlps(float got, double exact);
double DoubleUlps(double got, double exact);

}  // namespace potluck::kernels
