#include "kernels/tensor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "common/text.h"

namespace potluck::kernels {

TensorView TensorView::Dense(Buffer* buffer, int64_t offset_bytes,
                             std::initializer_list<int64_t> shape, DType dtype) {
  POTLUCK_CHECK(shape.size() <= kMaxRank);
  TensorView view;
  view.dtype = dtype;
  view.rank = static_cast<int>(shape.size());
  view.buffer = buffer;
  view.offset_bytes = offset_bytes;
  std::copy(shape.begin(), shape.end(), view.shape.begin());
  int64_t stride = 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    view.strides[i] = stride;
    stride *= view.shape[i];
  }
  return view;
}

int64_t TensorView::num_elements() const {
  int64_t count = 1;
  for (int i = 0; i < rank; ++i) count *= shape[i];
  return count;
}

TensorView TensorView::Rows(int64_t first, int64_t count) const {
  TensorView rows = *this;
  rows.shape[0] = count;
  rows.offset_bytes += BytesOf(dtype, first * strides[0]);
  return rows;
}

TensorView TensorView::Reshaped(std::initializer_list<int64_t> new_shape) const {
  TensorView reshaped = Dense(buffer, offset_bytes, new_shape, dtype);
  POTLUCK_CHECK(reshaped.num_elements() == num_elements());
  return reshaped;
}

std::string ToString(const TensorView& view) {
  return absl::StrCat(ToAbsl(Traits(view.dtype).name), " (",
                      absl::StrJoin(view.shape.begin(), view.shape.begin() + view.rank, ", "), ")");
}

}  // namespace potluck::kernels
