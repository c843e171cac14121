// exp, log and pow in double, made of IEEE operations in a fixed order only, so that every machine
// gets the same bits (numerics class cpu-1). For tables that are made once and for sampling;
// kernels have float functions of their own.
#pragma once

namespace potluck::kernels {

// Within 2 units in the last place for normal results. Log of 0 is -inf, of a negative NaN; Exp
// over- and underflows to inf and 0 as IEEE's.
double ExactLog(double x);
double ExactExp(double x);
// exp(exponent * log(base)) for a finite base > 0; normal results are within
// (1 + |exponent * log(base)|) * 6e-16 of the true value, relatively.
double ExactPow(double base, double exponent);

}  // namespace potluck::kernels
