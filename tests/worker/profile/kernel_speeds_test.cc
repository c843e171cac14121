// Speeds as they are measured, against a device of known ones.
#include "worker/profile/kernel_speeds.h"

#include <gtest/gtest.h>

#include "kernels/devices.h"
#include "tests/worker/profile/pan_device.h"
#include "worker/profile/layer_overhead.h"

namespace potluck::worker {
namespace {

using kernels::DType;

// Overheads are counted as part of a product, so that rates come out a little low.
void ExpectRate(double measured, double real) {
  EXPECT_LE(measured, real * (1 + 1e-6));
  EXPECT_GE(measured, real * 0.95);
}

const wire::DeviceProfile::Rate* Find(const KernelSpeeds& speeds, DType dtype) {
  for (const auto& rate : speeds.rates)
    if (rate.dtype == dtype) return &rate;
  return nullptr;
}

TEST(KernelSpeedsTest, TellsWhatTheDeviceTakes) {
  FakeClock clock;
  PanDevice device(clock, {.formats = {{DType::kQ2_K, 1e9}, {DType::kQ4_K, 6e9}}});
  const auto speeds = MeasureKernelSpeeds(device, clock, {});
  ASSERT_TRUE(speeds.ok()) << speeds.status();
  ASSERT_EQ(speeds->rates.size(), kernels::kNumWeightDTypes);
  for (const auto& rate : speeds->rates) {
    SCOPED_TRACE(kernels::Traits(rate.dtype).name);
    // One format is slower than memory even where caches hold it.
    ExpectRate(rate.decode_bytes_per_second, rate.dtype == DType::kQ2_K ? 1e9 : 4e9);
    // 32 tokens are more computing than reading, but with the slowest format.
    if (rate.dtype != DType::kQ2_K) ExpectRate(rate.prefill_operations_per_second, 1e11);
  }
  EXPECT_NEAR(speeds->step_overhead_seconds, 5e-6, 1e-7);
}

// Whole calls of the operations that a decoder has per layer, and next to no computing.
TEST(KernelSpeedsTest, ALayersOverheadIsThatOfItsCalls) {
  FakeClock clock;
  PanDevice device(clock, {.overhead_seconds = 50e-6}), quick(clock, {.overhead_seconds = 0});
  const auto overhead = MeasureLayerOverhead(device, clock, {});
  ASSERT_TRUE(overhead.ok()) << overhead.status();
  // 2 norms, 4 calls of products, q's and k's RoPE, KV, attention, activation, 2 sums.
  EXPECT_NEAR(*overhead, 13 * 50e-6, 2e-6);
  const auto none = MeasureLayerOverhead(quick, clock, {});
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_LT(*none, 2e-6);
}

// Small layers are no measure of what it costs to share a real one's products among threads.
TEST(KernelSpeedsTest, SharingAProductIsOverhead) {
  FakeClock clock;
  PanDevice device(clock, {.overhead_seconds = 1e-6, .sharing_seconds = 20e-6});
  const auto overhead = MeasureLayerOverhead(device, clock, {});
  ASSERT_TRUE(overhead.ok()) << overhead.status();
  EXPECT_NEAR(*overhead, 13e-6 + 4 * 20e-6, 2e-6);
}

TEST(KernelSpeedsTest, AFasterDeviceIsMeasuredFaster) {
  FakeClock clock;
  PanDevice slow(clock, {}),
      fast(clock, {.memory_bytes_per_second = 8e9, .operations_per_second = 3e11});
  const auto a = MeasureKernelSpeeds(slow, clock, {}), b = MeasureKernelSpeeds(fast, clock, {});
  ASSERT_TRUE(a.ok() && b.ok());
  for (size_t i = 0; i < a->rates.size(); ++i) {
    EXPECT_GT(b->rates[i].decode_bytes_per_second, 1.9 * a->rates[i].decode_bytes_per_second);
    EXPECT_GT(b->rates[i].prefill_operations_per_second,
              2.5 * a->rates[i].prefill_operations_per_second);
  }
}

// What is quick is repeated until a clock can tell how long it takes, what is slow is not.
TEST(KernelSpeedsTest, RepeatsWhatIsQuick) {
  FakeClock clock;
  PanDevice quick(clock, {}), slow(clock, {.overhead_seconds = 1});
  ASSERT_TRUE(MeasureKernelSpeeds(quick, clock, {}).ok());
  ASSERT_TRUE(MeasureKernelSpeeds(slow, clock, {}).ok());
  // Slow: twice the stream and twice each format, 16 times the overhead; and of layers twice 4 + 1
  // products of two sizes, and 4 of each of 1 + 9 layers.
  EXPECT_EQ(slow.num_products(),
            2 * (1 + 2 * kernels::kNumWeightDTypes) + 16 + 2 * (2 * (4 + 1) + 4 * (1 + 9)));
  EXPECT_GT(quick.num_products(), 2 * slow.num_products());
}

TEST(KernelSpeedsTest, LeavesOutFormatsThatAreNotThere) {
  FakeClock clock;
  PanDevice device(clock, {.formats = {{DType::kMXFP4, 0}, {DType::kF32, 20e9}}});
  const auto speeds = MeasureKernelSpeeds(device, clock, {});
  ASSERT_TRUE(speeds.ok()) << speeds.status();
  EXPECT_EQ(speeds->rates.size(), kernels::kNumWeightDTypes - 1);
  EXPECT_EQ(Find(*speeds, DType::kMXFP4), nullptr);
  EXPECT_NE(Find(*speeds, DType::kF32), nullptr);
}

TEST(KernelSpeedsTest, HandsOnTheDevicesErrors) {
  FakeClock clock;
  PanDevice device(clock, {});
  device.Break();
  EXPECT_EQ(MeasureKernelSpeeds(device, clock, {}).status().message(), "the pan is broken");
}

// A clock that stands still must not make it run for ever, nor divide by zero.
TEST(KernelSpeedsTest, EndsWithAClockThatStandsStill) {
  FakeClock clock, other;
  PanDevice device(other, {});
  const auto speeds = MeasureKernelSpeeds(
      device, clock, {.stream_bytes = 1, .weight_bytes = 1, .prefill_tokens = 1});
  ASSERT_TRUE(speeds.ok()) << speeds.status();
  for (const auto& rate : speeds->rates) {
    EXPECT_GT(rate.decode_bytes_per_second, 0);
    EXPECT_LT(rate.decode_bytes_per_second, 1e18);
    EXPECT_LT(rate.prefill_operations_per_second, 1e18);
  }
}

// The real kernels take the weights that are made for them, in every format.
TEST(KernelSpeedsTest, TheCpuComputesWithAllFormats) {
  FakeClock clock;
  const auto cpu = kernels::OpenDevice({.num_threads = 2});
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  const auto speeds = MeasureKernelSpeeds(**cpu, clock,
                                          {.stream_bytes = 1 << 20,
                                           .weight_bytes = 1 << 17,
                                           .prefill_tokens = 3,
                                           .enough = absl::ZeroDuration()});
  ASSERT_TRUE(speeds.ok()) << speeds.status();
  EXPECT_EQ(speeds->rates.size(), kernels::kNumWeightDTypes);
}

// And run the small layers.
TEST(KernelSpeedsTest, TheCpuRunsLayers) {
  FakeClock clock;
  const auto cpu = kernels::OpenDevice({.num_threads = 2});
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  const auto overhead = MeasureLayerOverhead(**cpu, clock, {.enough = absl::ZeroDuration()});
  EXPECT_TRUE(overhead.ok()) << overhead.status();
}

}  // namespace
}  // namespace potluck::worker
