// Measured speeds in the worker's state folder, so that not every start measures again. A file that
// is broken, or of another device, driver or program, is as good as none.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "worker/profile/kernel_speeds.h"

namespace potluck::worker {

// What speeds hold for. A CPU's `hardware` names its model and the number of threads.
struct SpeedKey {
  std::string device, hardware, target, version;
  friend bool operator==(const SpeedKey&, const SpeedKey&) = default;
};

// NotFound for speeds of another key; InvalidArgument for a file that is not what WriteSpeeds
// writes, or whose numbers cannot be.
absl::StatusOr<KernelSpeeds> ReadSpeeds(const std::string& path, const SpeedKey& key);
absl::Status WriteSpeeds(const std::string& path, const SpeedKey& key, const KernelSpeeds& speeds);

}  // namespace potluck::worker
