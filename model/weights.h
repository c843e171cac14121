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

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "common/text.h"
#include "kernels/dtype.h"

namespace potluck::model {

struct WeightBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const MappedFile> file;
};

// Bytes lie where the file has them, at any address: read numbers with memcpy, not through a float
// pointer.
struct WeightTensor {
  std::string name;
  kernels::DType dtype = kernels::DType::kF32;
  // Row-major, slowest dimension first: a matrix is (out, in), expert stacks are (experts, out,
  // in).
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // mapped; lives as long as `file`
  std::shared_ptr<const MappedFile> file;
  // A stack of experts that lie apart in the file: one entry per expert, in order, each of shape
  // (out, in); `bytes` and `file` are then empty. Empty for every other tensor.
  std::vector<WeightBytes> experts;
};

// Thread-safe after construction.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Null where there is none of that name.
  virtual const WeightTensor* Find(std::string_view name) const = 0;
  // As Find, but never null: NotFound where there is none, and Unimplemented where the file has it
  // in a type that Potluck doesn't compute with (tensor, type and the supported types named).
  virtual absl::StatusOr<const WeightTensor*> Get(std::string_view name) const {
    if (const WeightTensor* tensor = Find(name)) return tensor;
    return absl::NotFoundError(absl::StrCat("the model has no tensor ", ToAbsl(name)));
  }
  // Every usable tensor once: parts of a fused one in its place.
  virtual std::span<const WeightTensor> tensors() const = 0;
};

}  // namespace potluck::model
