// The gRPC calls that are not over yet: what they use must not go before them.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "common/mutex.h"
#include "wire/messages.h"

namespace potluck::wire {

class Stream;

// Thread-safe.
class LiveCalls {
 public:
  // What one peer may have: its control link, a data link each way, and a weights link for each of
  // the copies and stages that are being fetched.
  static constexpr size_t kMostOfOnePeer = 32;

  // False where there are too many, of that stream's peer or at all, or all are being ended: then
  // the call is not to be started.
  bool Add(const std::shared_ptr<Stream>& stream);
  // What a call that is over leaves (its channel), kept for FreeRetired: where the last channel of
  // a process is freed, gRPC waits for its own threads, so none of them may do that.
  void Retire(std::shared_ptr<void> leavings);
  void FreeRetired();
  // To be the last that a call does.
  void Remove(const std::shared_ptr<Stream>& stream);

  // Ends all calls; those that say goodbye may do so until `until`. Returns when there is none any
  // more, with FreeRetired. New ones are refused from now on.
  void EndAll(std::chrono::steady_clock::time_point until);

 private:
  static constexpr size_t kMost = 4096;

  std::vector<std::shared_ptr<Stream>> AllStreams() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AnyClosing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  Condition changed_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::multimap<WorkerId, std::shared_ptr<Stream>> streams_ ABSL_GUARDED_BY(mutex_);  // by peer
  std::vector<std::shared_ptr<void>> retired_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace potluck::wire
