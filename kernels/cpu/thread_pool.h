// The threads of one CPU device: pthreadpool behind a loop over a range.
#pragma once

#include <pthreadpool.h>
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#include <algorithm>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace potluck::kernels {

// ResourceExhausted where the system would not start so many threads. pthreadpool does not look and
// would wait for the missing ones without end.
absl::Status CheckThreadsCanStart(int num_threads);

// Thread-compatible: one loop at a time.
class ThreadPool {
 public:
  // num_threads >= 1; the calling thread is one of them. Loops of less work than `least_shared`
  // stay on it: the others would take longer to wake up, and on a busy machine much longer.
  ThreadPool(int num_threads, absl::Duration least_shared)
      : pool_(pthreadpool_create(num_threads), &pthreadpool_destroy),
        least_shared_nanoseconds_(absl::ToDoubleNanoseconds(least_shared)) {}

  int num_threads() const { return static_cast<int>(pthreadpool_get_threads_count(pool_.get())); }

  // Calls body(begin, end) for ranges that cover [0, count) once, and returns when all are done.
  // `item_nanoseconds` is about what an item takes one core; it decides on the ranges and nothing
  // else. Does not allocate. Results must not depend on who does which range.
  template <typename Body>
  void For(int64_t count, double item_nanoseconds, const Body& body) {
    if (count <= 0) return;
    item_nanoseconds = std::max(item_nanoseconds, 1.0);
    const auto grain = std::max<int64_t>(
        1, static_cast<int64_t>(least_shared_nanoseconds_ / kRangesAtLeast / item_nanoseconds));
    if (count <= grain ||
        static_cast<double>(count) * item_nanoseconds < least_shared_nanoseconds_) {
      body(int64_t{0}, count);
      return;
    }
    workers_spin_ = true;
    const auto task = [](void* context, size_t begin, size_t length) {
      TakeOver();
      (*static_cast<const Body*>(context))(static_cast<int64_t>(begin),
                                           static_cast<int64_t>(begin + length));
      HandOver();
    };
    HandOver();
    pthreadpool_parallelize_1d_tile_1d(pool_.get(), task, const_cast<Body*>(&body), count, grain,
                                       /*flags=*/0);
    TakeOver();
  }

  // Lets the other threads sleep until the next shared loop. After a loop they spin for a while,
  // for the next one to find them awake.
  void Rest() {
    if (!workers_spin_) return;
    workers_spin_ = false;
    pthreadpool_parallelize_1d(
        pool_.get(), [](void*, size_t) {}, nullptr, num_threads(), PTHREADPOOL_FLAG_YIELD_WORKERS);
  }

 private:
  // Ranges of a loop that is just worth sharing: enough for the threads to even out.
  static constexpr int kRangesAtLeast = 8;

  // pthreadpool orders what comes before, in and after a loop. The thread sanitizer cannot see it,
  // for that library is not compiled with it, and has to be told.
#if defined(__SANITIZE_THREAD__)
  static inline char order_;
  static void HandOver() { __tsan_release(&order_); }
  static void TakeOver() { __tsan_acquire(&order_); }
#else
  static void HandOver() {}
  static void TakeOver() {}
#endif

  std::unique_ptr<pthreadpool, decltype(&pthreadpool_destroy)> pool_;
  double least_shared_nanoseconds_;
  bool workers_spin_ = false;
};

}  // namespace potluck::kernels
