// What a machine's owner tells its worker without asking the coordinator, whose keys need not be
// known there: signals to the process that has the worker's state folder. SIGUSR1 pauses the
// worker, SIGUSR2 lets it take part again, SIGTERM lets it leave.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace potluck::cli {

enum class OwnerWish : uint8_t { kPause, kResume, kDrain };

// To the one worker whose state is in this folder or below it. NotFound where none runs,
// FailedPrecondition where several do or where its process is the coordinator's, too, which a drain
// would end: each with what to do.
absl::Status TellWorkerHere(OwnerWish wish, const std::string& state_folder);

// Takes these signals in a process that has a worker. Single-threaded.
class OwnerSignals {
 public:
  // Before any other thread is there, and before the state folder is locked: from then on they may
  // come.
  OwnerSignals();
  ~OwnerSignals();
  OwnerSignals(const OwnerSignals&) = delete;
  OwnerSignals& operator=(const OwnerSignals&) = delete;

  // Until an interrupt; meanwhile tells `pause` what the owner wishes.
  void WaitForInterrupt(const std::function<void(bool paused)>& pause);

 private:
  int signals_;  // a descriptor to read them from
};

}  // namespace potluck::cli
