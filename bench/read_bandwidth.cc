#include "bench/read_bandwidth.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace potluck::bench {
namespace {

constexpr int64_t kBufferBytes = int64_t{512} << 20;
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

double MeasureReadBandwidth(int num_threads) {
  const std::vector<uint64_t> buffer(kBufferBytes / sizeof(uint64_t), 1);
  const auto part = static_cast<int64_t>(buffer.size()) / num_threads;
  std::vector<uint64_t> sums(num_threads);
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (int i = 0; i < num_threads; ++i) {
      threads.emplace_back([&, i] { sums[i] += SumOf(buffer.data() + i * part, part); });
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
