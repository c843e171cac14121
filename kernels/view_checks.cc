#include "kernels/view_checks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::kernels {
namespace {

// Bytes from the first element of row 0 (of the slowest dimension) to past its last.
int64_t RowBytes(const TensorView& view) {
  int64_t last = 0;
  for (int i = view.rank > 1 ? 1 : 0; i < view.rank; ++i) {
    last += (view.shape[i] - 1) * view.strides[i];
  }
  return BytesOf(view.dtype, last + 1);
}

int64_t RowStrideBytes(const TensorView& view) { return BytesOf(view.dtype, view.strides[0]); }

int64_t EndByte(const TensorView& view) {
  if (view.rank <= 1) return view.offset_bytes + RowBytes(view);
  return view.offset_bytes + (view.shape[0] - 1) * RowStrideBytes(view) + RowBytes(view);
}

absl::Status CheckShape(const TensorView& view, absl::string_view what, DType dtype,
                        std::initializer_list<int64_t> shape) {
  const auto fits = [](int64_t wanted, int64_t size) {
    return wanted == -1 ? size >= 0 : size == wanted;
  };
  if (view.dtype == dtype && view.rank == static_cast<int>(shape.size()) &&
      std::equal(shape.begin(), shape.end(), view.shape.begin(), fits)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(what, " is ", ToString(view), ", expected ",
                                                 ToAbsl(Traits(dtype).name), " (",
                                                 absl::StrJoin(shape, ", "), ")"));
}

}  // namespace

absl::Status CheckView(const TensorView& view, absl::string_view what, DType dtype,
                       std::initializer_list<int64_t> shape) {
  POTLUCK_RETURN_IF_ERROR(CheckShape(view, what, dtype, shape));
  if (view.num_elements() == 0) return absl::OkStatus();
  int64_t extent = 1;  // elements from the first to past the last of a row of the next dimension
  for (int i = view.rank - 1; i >= 0; --i) {
    if (view.shape[i] > 1 && view.strides[i] < extent) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " (", ToString(view), ") has a stride of ", view.strides[i],
                       " in dimension ", i, ", less than the ", extent, " elements there"));
    }
    extent += (view.shape[i] - 1) * view.strides[i];
  }
  if (view.buffer == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(what, " has no buffer"));
  }
  if (view.strides[view.rank - 1] != 1 || view.offset_bytes < 0 ||
      view.offset_bytes + BytesOf(dtype, extent) > view.buffer->size_bytes()) {
    return absl::InvalidArgumentError(absl::StrCat(what, " (", ToString(view), " at byte ",
                                                   view.offset_bytes, ") leaves its buffer of ",
                                                   view.buffer->size_bytes(), " bytes"));
  }
  return absl::OkStatus();
}

bool Overlap(const TensorView& a, const TensorView& b) {
  if (a.buffer != b.buffer || a.num_elements() == 0 || b.num_elements() == 0) return false;
  if (a.offset_bytes >= EndByte(b) || b.offset_bytes >= EndByte(a)) return false;
  if (a.rank < 2 || b.rank < 2 || a.shape[0] < 2 || b.shape[0] < 2) return true;
  const int64_t stride = RowStrideBytes(a);
  if (stride != RowStrideBytes(b)) return true;
  const int64_t distance = ((b.offset_bytes - a.offset_bytes) % stride + stride) % stride;
  return distance < RowBytes(a) || distance + RowBytes(b) > stride;
}

bool SamePlace(const TensorView& a, const TensorView& b) {
  return a.buffer == b.buffer && a.offset_bytes == b.offset_bytes && a.rank == b.rank &&
         a.shape == b.shape && (a.rank < 2 || a.shape[0] < 2 || a.strides[0] == b.strides[0]) &&
         (a.rank < 3 || a.strides[1] == b.strides[1]);
}

absl::Status CheckApart(const TensorView& output, absl::string_view output_name,
                        const TensorView& input, absl::string_view input_name) {
  if (!Overlap(output, input)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(output_name, " overlaps ", input_name,
                                                 " in memory; give it a place of its own"));
}

}  // namespace potluck::kernels
