// How many bytes this process has sent to each other member of the cluster.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "common/mutex.h"
#include "wire/messages.h"

namespace potluck::wire {

// Thread-safe.
class TrafficMeter {
 public:
  using Count = std::atomic<int64_t>;

  // To be added to by who sends to that member.
  std::shared_ptr<Count> SentTo(const WorkerId& member) {
    MutexLock lock(mutex_);
    std::shared_ptr<Count>& count = sent_[member];
    if (count == nullptr) count = std::make_shared<Count>(0);
    return count;
  }
  std::vector<Traffic> Read() const {
    MutexLock lock(mutex_);
    std::vector<Traffic> traffic;
    for (const auto& [member, count] : sent_) traffic.push_back({member, *count});
    return traffic;
  }

 private:
  mutable Mutex mutex_;
  std::map<WorkerId, std::shared_ptr<Count>> sent_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace potluck::wire
