// The threads of one CPU device: pthreadpool behind a loop over a range.
#pragma once

#include <pthreadpool.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"

namespace potluck::kernels {

// ResourceExhausted where the system would not start so many threads. pthreadpool does not look and
// would wait for the missing ones without end.
absl::Status CheckThreadsCanStart(int num_threads);

// Thread-compatible: one loop at a time.
class ThreadPool {
 public:
  // num_threads >= 1; the calling thread is one of them.
  explicit ThreadPool(int num_threads)
      : pool_(pthreadpool_create(num_threads), &pthreadpool_destroy) {}

  int num_threads() const { return static_cast<int>(pthreadpool_get_threads_count(pool_.get())); }

  // Calls body(begin, end) for ranges of at most `grain` items that cover [0, count) once, and
  // returns when all are done. Does not allocate. Results must not depend on who does which range.
  template <typename Body>
  void For(int64_t count, int64_t grain, const Body& body) {
    if (count <= 0) return;
    if (count <= grain) {
      body(int64_t{0}, count);
      return;
    }
    const auto task = [](void* context, size_t begin, size_t length) {
      (*static_cast<const Body*>(context))(static_cast<int64_t>(begin),
                                           static_cast<int64_t>(begin + length));
    };
    pthreadpool_parallelize_1d_tile_1d(pool_.get(), task, const_cast<Body*>(&body), count, grain,
                                       /*flags=*/0);
  }

 private:
  std::unique_ptr<pthreadpool, decltype(&pthreadpool_destroy)> pool_;
};

}  // namespace potluck::kernels
