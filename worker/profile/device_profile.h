// What a worker says of its devices when it joins, and of its machine with every heartbeat.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
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
  int64_t memory_limit_bytes = 0;  // told as it is; 0: no limit
  bool measure_again = false;
  // How busy others have kept the machine since the last call, 0 to 1.
  std::function<double()> load_by_others;
  SpeedOptions speeds;
};

// Speeds are too low by what others use of the machine while they are measured; with more than this
// they are not kept for good.
inline constexpr double kBusyLoad = 0.15;

// Speeds from the state folder where they are known, measured and kept there otherwise; memory as
// it is now. Speeds of a busy machine are measured again at every start, and of two measurements
// the quieter one counts; with measure_again the new one does, whatever was known. Speeds that
// cannot be kept are logged as a warning, and measured again next time.
// Errors as MeasureKernelSpeeds. The backend serves no stage: its limits become others.
absl::StatusOr<wire::DeviceProfile> ProfileDevice(kernels::Backend& backend, const Clock& clock,
                                                  const ProfileOptions& options);

// Of what stages say that they hold, as much as a process can hold that has `private_bytes` of its
// own.
std::vector<int64_t> ReallyHeld(std::vector<int64_t> held_bytes, int64_t private_bytes);

// For WorkerOptions::machine_state. Single-threaded.
class MachineWatch {
 public:
  // All devices are in the host's memory.
  MachineWatch() { meter_.Read(); }

  // `held_bytes`: what stages say that they hold of each device. What they have not yet written, or
  // have mapped from files, counts as free on the machine: the state says what of it is really
  // taken. Says nothing of disks. Quick: reads a few small files of the kernel's.
  MachineState Read(const std::vector<int64_t>& held_bytes);

 private:
  LoadMeter meter_;
  CpuLoad load_;  // over the last seconds: no plan is to follow a moment
};

}  // namespace potluck::worker
