// What the operations ask of their tensors: dtype, shape, a place within the buffer, rows in order,
// and outputs that do not lie across inputs.
#pragma once

#include <initializer_list>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kernels/tensor.h"

namespace potluck::kernels {

// InvalidArgument, naming `what`, unless the view has that dtype and shape (-1: any size), lies
// within its buffer, and no two of its elements share memory: the rows of each dimension ascend and
// are at least as far apart as they are long.
absl::Status CheckView(const TensorView& view, absl::string_view what, DType dtype,
                       std::initializer_list<int64_t> shape);

// Whether any element of one lies on an element of the other. Exact for rows that are interleaved
// (gate and up as the halves of one product's rows); two views of unlike strides whose ranges cross
// count as overlapping.
bool Overlap(const TensorView& a, const TensorView& b);

// InvalidArgument where they overlap; `SamePlace` is for outputs that may equal an input.
absl::Status CheckApart(const TensorView& output, absl::string_view output_name,
                        const TensorView& input, absl::string_view input_name);
bool SamePlace(const TensorView& a, const TensorView& b);

}  // namespace potluck::kernels
