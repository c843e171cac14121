// The devices of this machine that Potluck can compute on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace potluck::kernels {

struct DeviceOptions {
  std::string device = "cpu";  // a name of ListDevices
  int num_threads = 0;         // of a CPU; 0: one per physical core
  std::string target;          // pins an instruction set of kernels/targets.inc; empty: the fastest
};

// InvalidArgument, with the names that there are, for an unknown device or target.
absl::StatusOr<std::unique_ptr<Backend>> OpenDevice(const DeviceOptions& options);

std::vector<DeviceInfo> ListDevices();

// The threads that a CPU device gets where nobody says: one per physical core.
int DefaultCpuThreads();

}  // namespace potluck::kernels
