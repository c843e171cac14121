// A model file's tensors, whichever container they came from, under one set of names.
//
// Names are GGUF's ("blk.0.attn_q.weight", "token_embd.weight", "output_norm.weight", ...); the
// safetensors reader maps Hugging Face's names to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/files.h"
#include "kernels/dtype.h"

namespace potluck::model {

struct WeightTensor {
  std::string name;
  kernels::DType dtype = kernels::DType::kF32;
  // Row-major, slowest dimension first: a matrix is (out, in), expert stacks are (experts, out,
  // in).
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // mapped; lives as long as `file`
  std::shared_ptr<const MappedFile> file;
};

// Thread-safe after construction.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Null where there is none of that name.
  virtual const WeightTensor* Find(std::string_view name) const = 0;
  virtual std::span<const WeightTensor> tensors() const = 0;
};

}  // namespace potluck::model
