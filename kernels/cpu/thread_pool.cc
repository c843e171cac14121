#include "kernels/cpu/thread_pool.h"

#include <pthread.h>

#include <cstring>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace potluck::kernels {

absl::Status CheckThreadsCanStart(int num_threads) {
  std::mutex started;
  std::vector<pthread_t> threads;
  threads.reserve(num_threads);
  int error = 0;
  {
    const std::lock_guard lock(started);
    // All of them wait, so that they are alive at the same time.
    const auto wait = [](void* mutex) -> void* {
      const std::lock_guard wait_for_start(*static_cast<std::mutex*>(mutex));
      return nullptr;
    };
    for (int i = 1; i < num_threads && error == 0; ++i) {
      pthread_t thread;
      error = pthread_create(&thread, nullptr, wait, &started);
      if (error == 0) threads.push_back(thread);
    }
  }
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  if (error == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot start ", num_threads, " threads: ", std::strerror(error),
                   "; free some memory, or choose fewer threads (-t 1)"));
}

}  // namespace potluck::kernels
