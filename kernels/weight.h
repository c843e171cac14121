// A weight as a backend holds it: repacked once, at load, from the bytes of a model file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/dtype.h"

namespace potluck::kernels {

// What a backend is given. A matrix is (rows, cols); a stack of experts is (experts, rows, cols).
struct WeightData {
  std::string name;  // for error messages
  DType dtype = DType::kF32;
  int64_t num_experts = 1;
  int64_t rows = 0;
  int64_t cols = 0;
  // One span per expert (one in all for a matrix), each rows * cols values in the file's layout.
  std::vector<std::span<const std::byte>> parts;
};

// Read-only after loading, so thread-safe. What else it holds is its backend's business.
class Weight {
 public:
  virtual ~Weight() = default;

  const std::string& name() const { return name_; }
  DType dtype() const { return dtype_; }
  int64_t num_experts() const { return num_experts_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

 protected:
  explicit Weight(const WeightData& data)
      : name_(data.name),
        dtype_(data.dtype),
        num_experts_(data.num_experts),
        rows_(data.rows),
        cols_(data.cols) {}

 private:
  std::string name_;
  DType dtype_;
  int64_t num_experts_, rows_, cols_;
};

}  // namespace potluck::kernels
