// Host memory: what is allocated, and copies that keep to their buffers.
#include "kernels/host_backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/reference/reference_backend.h"

namespace potluck::kernels {
namespace {

constexpr auto kRefused = absl::StatusCode::kInvalidArgument;

TEST(HostBackendTest, AllocatesZeroedAlignedMemory) {
  ReferenceBackend backend;
  const auto buffer = backend.Allocate(3 << 20, "a test");
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  EXPECT_EQ((*buffer)->size_bytes(), 3 << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>((*buffer)->host()) % 64, 0u);
  EXPECT_TRUE(std::all_of((*buffer)->host(), (*buffer)->host() + (3 << 20),
                          [](std::byte byte) { return byte == std::byte{0}; }));
  EXPECT_EQ((*backend.Allocate(0, "nothing"))->size_bytes(), 0);
}

TEST(HostBackendTest, AnImpossibleAllocationIsAnErrorThatNamesIt) {
  ReferenceBackend backend;
  EXPECT_EQ(backend.Allocate(-1, "a test").status().code(), kRefused);
  const absl::Status status = backend.Allocate(int64_t{1} << 60, "the moon").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("the moon"), absl::string_view::npos) << status;
}

TEST(HostBackendTest, TransfersFitTheirView) {
  ReferenceBackend backend;
  const auto buffer = *backend.Allocate(10 * sizeof(float), "a test");
  std::vector<float> from(6), to(6);
  std::iota(from.begin(), from.end(), 1.0f);
  const auto sent = std::as_bytes(std::span(from));
  const auto got = std::as_writable_bytes(std::span(to));
  const TensorView view = TensorView::Dense(buffer.get(), 8, {2, 3});
  ASSERT_TRUE(backend.Upload(sent, view).ok());
  ASSERT_TRUE(backend.Download(view, got).ok());
  EXPECT_EQ(to, from);
  EXPECT_EQ(reinterpret_cast<const float*>(buffer->host())[1], 0);
  EXPECT_EQ(reinterpret_cast<const float*>(buffer->host())[8], 0);
  EXPECT_TRUE(backend.Upload({}, view.Rows(1, 0)).ok());

  EXPECT_EQ(backend.Upload(sent.first(20), view).code(), kRefused);
  EXPECT_EQ(backend.Download(view.Rows(0, 1), got).code(), kRefused);
  for (const int64_t offset : {-4, 20, 1 << 20}) {
    const TensorView outside = TensorView::Dense(buffer.get(), offset, {2, 3});
    EXPECT_EQ(backend.Upload(sent, outside).code(), kRefused) << offset;
    EXPECT_EQ(backend.Download(outside, got).code(), kRefused) << offset;
  }
  EXPECT_EQ(backend.Upload(sent, TensorView::Dense(nullptr, 0, {2, 3})).code(), kRefused);
  TensorView apart = TensorView::Dense(buffer.get(), 0, {2, 3});
  apart.strides[0] = 4;
  EXPECT_EQ(backend.Download(apart, got).code(), kRefused);
}

TEST(HostBackendTest, CopiesKeepToTheirBuffersAndApart) {
  ReferenceBackend backend;
  const auto a = *backend.Allocate(16, "a"), b = *backend.Allocate(8, "b");
  for (int i = 0; i < 16; ++i) a->host()[i] = static_cast<std::byte>(i);
  ASSERT_TRUE(backend.Copy(*a, 6, *b, 2, 6).ok());
  EXPECT_EQ(b->host()[1], std::byte{0});
  EXPECT_EQ(b->host()[2], std::byte{6});
  EXPECT_EQ(b->host()[7], std::byte{11});
  ASSERT_TRUE(backend.Copy(*a, 0, *a, 8, 8).ok());
  EXPECT_EQ(a->host()[15], std::byte{7});
  EXPECT_TRUE(backend.Copy(*a, 16, *b, 8, 0).ok());

  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(backend.Copy(*a, 0, *a, 7, 8).code(), kRefused);
  EXPECT_EQ(backend.Copy(*a, 0, *b, 1, 8).code(), kRefused);
  EXPECT_EQ(backend.Copy(*a, 9, *b, 0, 8).code(), kRefused);
  EXPECT_EQ(backend.Copy(*a, -1, *b, 0, 4).code(), kRefused);
  EXPECT_EQ(backend.Copy(*a, 0, *b, 0, -1).code(), kRefused);
  EXPECT_EQ(backend.Copy(*a, kHuge, *b, 0, 4).code(), kRefused);
  EXPECT_EQ(backend.Copy(*a, 0, *b, 0, kHuge).code(), kRefused);
}

}  // namespace
}  // namespace potluck::kernels
