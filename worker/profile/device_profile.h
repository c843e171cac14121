// What a worker says of its devices when it joins, and of its machine with every heartbeat.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "kernels/backend.h"
#include "wire/messages.h"
#include "worker/profile/kernel_speeds.h"
#include "worker/profile/load_by_others.h"
#include "worker/worker.h"

namespace potluck::worker {

struct ProfileOptions {
  std::string state_folder;        // where speeds are kept
  std::string version;             // of the program: another one measures anew
  int64_t memory_limit_bytes = 0;  // what the owner lends of each device; 0: no limit
  bool measure_again = false;
  SpeedOptions speeds;
};

// Speeds from the state folder where they are known, measured and kept there otherwise; memory as
// it is now. Speeds that cannot be kept are logged as a warning, and measured again next time.
// Errors as MeasureKernelSpeeds. The backend serves no stage: its limits become others.
absl::StatusOr<wire::DeviceProfile> ProfileDevice(kernels::Backend& backend, const Clock& clock,
                                                  const ProfileOptions& options);

// What stages may take of `free_bytes`, of which they hold `held_bytes` already: no more than the
// owner lends (0: no limit).
int64_t FreeWithinLimit(int64_t free_bytes, int64_t held_bytes, int64_t limit_bytes);

// For WorkerOptions::machine_state. Single-threaded.
class MachineWatch {
 public:
  // All devices are in the host's memory. `cache_folder`: its disk is the one that copies go to.
  MachineWatch(size_t num_devices, std::string cache_folder, int64_t memory_limit_bytes);

  // `held_bytes`: what stages hold of each device. Quick: reads a few small files of the kernel's.
  MachineState Read(const std::vector<int64_t>& held_bytes);

 private:
  const size_t num_devices_;
  const std::string cache_folder_;
  const int64_t memory_limit_bytes_;
  LoadMeter load_;
};

}  // namespace potluck::worker
