#include "tests/testing/guarded_tensor.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/check.h"
#include "kernels/host_buffer.h"

namespace potluck::kernels {
namespace {

constexpr int64_t kGuardBytes = 256;
constexpr std::byte kPattern{0xA5};

}  // namespace

GuardedTensor::GuardedTensor(std::initializer_list<int64_t> shape, DType dtype, int64_t row_gap) {
  POTLUCK_CHECK(dtype == DType::kF32 || dtype == DType::kI32);
  view_ = TensorView::Dense(nullptr, kGuardBytes, shape, dtype);
  for (int i = 0; i + 1 < view_.rank; ++i) {
    view_.strides[i] +=
        view_.strides[i] / std::max<int64_t>(1, view_.shape[view_.rank - 1]) * row_gap;
  }
  int64_t last = 0;
  for (int i = 0; i < view_.rank; ++i) last += (view_.shape[i] - 1) * view_.strides[i];
  const int64_t elements = num_elements() == 0 ? 0 : last + 1;
  auto buffer = AllocateHostBuffer(2 * kGuardBytes + 4 * elements, "a test's tensor");
  POTLUCK_CHECK(buffer.ok());
  buffer_ = *std::move(buffer);
  view_.buffer = buffer_.get();
  std::memset(buffer_->host(), static_cast<int>(kPattern), buffer_->size_bytes());
  for (int64_t i = 0; i < num_elements(); ++i) {
    if (dtype == DType::kF32) {
      at(i) = std::numeric_limits<float>::quiet_NaN();
    } else {
      i32(i) = std::numeric_limits<int32_t>::max();
    }
  }
}

int64_t GuardedTensor::OffsetOf(int64_t i) const {
  int64_t offset = 0;
  for (int d = view_.rank - 1; d >= 0; --d) {
    offset += i % view_.shape[d] * view_.strides[d];
    i /= view_.shape[d];
  }
  return offset;
}

GuardedTensor& GuardedTensor::Fill(std::span<const float> values) {
  POTLUCK_CHECK(static_cast<int64_t>(values.size()) == num_elements());
  for (int64_t i = 0; i < num_elements(); ++i) at(i) = values[i];
  return *this;
}

GuardedTensor& GuardedTensor::Fill(const std::function<float()>& next) {
  for (int64_t i = 0; i < num_elements(); ++i) at(i) = next();
  return *this;
}

GuardedTensor& GuardedTensor::FillRandom(std::mt19937& random, float scale) {
  std::normal_distribution<float> normal(0, scale);
  return Fill([&] { return normal(random); });
}

::testing::AssertionResult GuardedTensor::GuardsIntact() const {
  std::vector<bool> is_element(buffer_->size_bytes(), false);
  for (int64_t i = 0; i < num_elements(); ++i) {
    for (int64_t b = 0; b < 4; ++b) is_element[kGuardBytes + 4 * OffsetOf(i) + b] = true;
  }
  for (int64_t b = 0; b < buffer_->size_bytes(); ++b) {
    if (!is_element[b] && buffer_->host()[b] != kPattern) {
      return ::testing::AssertionFailure()
             << ToString(view_) << ": a write outside of the tensor, at byte " << b - kGuardBytes;
    }
  }
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult SameBits(const GuardedTensor& actual, const GuardedTensor& expected) {
  if (actual.view().rank != expected.view().rank || actual.view().shape != expected.view().shape) {
    return ::testing::AssertionFailure() << ToString(actual) << " against " << ToString(expected);
  }
  for (int64_t i = 0; i < actual.num_elements(); ++i) {
    const float a = actual.at(i), e = expected.at(i);
    const bool is_float = actual.view().dtype == DType::kF32;
    if (std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(e)) continue;
    if (is_float && std::isnan(a) && std::isnan(e)) continue;
    return ::testing::AssertionFailure()
           << ToString(actual) << ", element " << i << ": " << a << " (0x" << std::hex
           << std::bit_cast<uint32_t>(a) << "), expected " << e << " (0x"
           << std::bit_cast<uint32_t>(e) << ")";
  }
  if (auto intact = actual.GuardsIntact(); !intact) return intact;
  return expected.GuardsIntact();
}

std::vector<float> AwkwardFloats(std::mt19937& random, int64_t count, bool finite) {
  using Limits = std::numeric_limits<float>;
  static constexpr float kFinite[] = {0.0f,
                                      -0.0f,
                                      Limits::denorm_min(),
                                      -Limits::min() / 2,
                                      Limits::min(),
                                      1e-31f,
                                      -7.9e-31f,
                                      1e30f,
                                      -3e38f,
                                      Limits::max(),
                                      1.0f,
                                      -0.5f,
                                      127.0f};
  static constexpr float kOthers[] = {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()};
  std::vector<float> values(count);
  for (float& value : values) {
    const uint32_t pick = random() % 64;
    value = !finite && pick < 3 ? kOthers[pick] : kFinite[pick % std::size(kFinite)];
  }
  return values;
}

}  // namespace potluck::kernels
