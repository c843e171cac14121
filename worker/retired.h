// Where an owner puts what it lets go of while that may be in the midst of a call: it is destroyed
// in a task of its own, or with the owner, whichever comes first.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "common/executor.h"

namespace potluck::worker {

// Single-threaded: lives on its executor. Declared after what the things refer to.
class Retired {
 public:
  explicit Retired(Executor& executor) : timer_(executor) {}

  template <typename T>
  void Add(std::unique_ptr<T> thing) {
    if (thing == nullptr) return;
    things_.push_back(std::shared_ptr<T>(std::move(thing)));
    if (timer_.running()) return;
    timer_.Start(absl::ZeroDuration(), [this] { const auto gone = std::exchange(things_, {}); });
  }

 private:
  std::vector<std::shared_ptr<void>> things_;
  Timer timer_;
};

}  // namespace potluck::worker
