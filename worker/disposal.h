// Ends what takes a while to end (a thread in the midst of a step, a device's memory, a lock on the
// disk) on an executor for nothing else: the logic must not wait, it sends the heartbeats.
#pragma once

#include <memory>
#include <utility>

#include "common/executor.h"

namespace potluck::worker {

// In a task of `disposal`; at once where that has stopped.
template <typename T>
void DestroyOn(Executor& disposal, T thing) {
  disposal.Post([gone = std::move(thing)] {});
}

// The same, once the last owner has let go of it, on whatever thread. `disposal` must outlive them
// all.
template <typename T>
std::shared_ptr<T> DestroyedOn(Executor& disposal, std::shared_ptr<T> thing) {
  T* const at = thing.get();
  return std::shared_ptr<T>(at, [&disposal, owner = std::move(thing)](T*) mutable {
    DestroyOn(disposal, std::move(owner));
  });
}

}  // namespace potluck::worker
