// Tensors as operations see them: views into buffers that a backend owns. A view into a larger
// buffer is a sub-tensor (Transformer-Lite, arXiv 2403.20041, d).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "kernels/dtype.h"

namespace potluck::kernels {

// Memory of one device. Owned by whoever asked the backend for it; freed with the object.
class Buffer {
 public:
  virtual ~Buffer() = default;
  int64_t size_bytes() const { return size_bytes_; }
  // Where the host can read and write it directly; null on devices with memory of their own.
  std::byte* host() const { return host_; }

 protected:
  Buffer(std::byte* host, int64_t size_bytes) : host_(host), size_bytes_(size_bytes) {}

 private:
  std::byte* host_;
  int64_t size_bytes_;
};

inline constexpr int kMaxRank = 3;

// Strides count elements. Elements along the last dimension are always adjacent (stride 1).
// Copyable, 80 bytes, owns nothing.
struct TensorView {
  DType dtype = DType::kF32;
  int rank = 0;
  std::array<int64_t, kMaxRank> shape = {};
  std::array<int64_t, kMaxRank> strides = {};
  Buffer* buffer = nullptr;
  int64_t offset_bytes = 0;

  // A dense view of `buffer` from `offset_bytes` on.
  static TensorView Dense(Buffer* buffer, int64_t offset_bytes,
                          std::initializer_list<int64_t> shape, DType dtype = DType::kF32);

  int64_t num_elements() const;
  // Rows [first, first + count) of the slowest dimension.
  TensorView Rows(int64_t first, int64_t count) const;
  // The same elements, dense only: (a, b*c) as (a, b, c) and back.
  TensorView Reshaped(std::initializer_list<int64_t> new_shape) const;

  template <typename T>
  T* host() const {
    return reinterpret_cast<T*>(buffer->host() + offset_bytes);
  }
};

// "f32 (7, 64)"
std::string ToString(const TensorView& view);

// Where row `row` of the slowest dimension of an f32 view begins, in host memory.
inline float* FloatRow(const TensorView& view, int64_t row) {
  return view.host<float>() + row * view.strides[0];
}

}  // namespace potluck::kernels
