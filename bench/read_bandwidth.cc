#include "bench/read_bandwidth.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "common/status_macros.h"
#include "kernels/host_buffer.h"
#include "kernels/host_memory.h"

namespace potluck::bench {
namespace {

constexpr int64_t kMostBytes = int64_t{512} << 20;
constexpr int kPasses = 5;

// Independent sums, so that the loop waits for memory and not for additions.
uint64_t SumOf(const uint64_t* numbers, int64_t count) {
  constexpr int kLanes = 32;
  uint64_t lanes[kLanes] = {};
  for (int64_t i = 0; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += numbers[i + lane];
  }
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

}  // namespace

absl::StatusOr<double> MeasureReadBandwidth(int num_threads) {
  const int64_t bytes = std::min(kMostBytes, kernels::ReadHostMemory().free_bytes / 4);
  POTLUCK_ASSIGN_OR_RETURN(const auto buffer,
                           kernels::AllocateHostBuffer(bytes, "measuring memory"));
  auto* const numbers = reinterpret_cast<uint64_t*>(buffer->host());
  const auto count = bytes / static_cast<int64_t>(sizeof(uint64_t));
  std::fill_n(numbers, count, 1);  // pages that nobody has written are all the same one
  const int64_t part = count / num_threads;
  std::vector<uint64_t> sums(num_threads);
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (int i = 0; i < num_threads; ++i) {
      threads.emplace_back([&, i] { sums[i] += SumOf(numbers + i * part, part); });
    }
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best,
                    static_cast<double>(part * num_threads) * sizeof(uint64_t) / seconds.count());
  }
  // The sums must be used, or there would be nothing to read for.
  return sums[0] == 0 ? 0 : best;
}

}  // namespace potluck::bench
