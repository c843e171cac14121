// Weights of every stored type for tests, made of random bytes with sound scales.
#pragma once

#include <cstddef>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/weight.h"

namespace potluck::kernels {

// `values` values: every code, sub-scale and sub-minimum may occur; scales are finite and moderate.
std::vector<std::byte> RandomWeightBytes(DType dtype, int64_t values, std::mt19937& random);

// Owns the bytes that a WeightData shows.
struct RandomWeight {
  RandomWeight(DType dtype, int64_t rows, int64_t cols, std::mt19937& random,
               int64_t num_experts = 1);

  std::vector<std::vector<std::byte>> parts;
  WeightData data;
};

// The bytes of a block at which its f16 scale and offset lie (none for floats and mxfp4).
std::vector<int> HalfScaleOffsets(DType dtype);

}  // namespace potluck::kernels
