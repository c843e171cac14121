#include "kernels/view_checks.h"

#include "absl/strings/str_cat.h"

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

}  // namespace

absl::Status CheckRows(const TensorView& view, absl::string_view what, DType dtype,
                       std::initializer_list<int64_t> shape) {
  if (absl::Status status = CheckView(view, what, dtype, shape); !status.ok()) return status;
  int64_t extent = 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    if (view.shape[i] > 1 && view.strides[i] < extent) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " (", ToString(view), ") has a stride of ", view.strides[i],
                       " in dimension ", i, ", less than the ", extent, " elements there"));
    }
    extent += (view.shape[i] - 1) * view.strides[i];
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
