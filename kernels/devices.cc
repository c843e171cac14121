#include "kernels/devices.h"

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_backend.h"

namespace potluck::kernels {

absl::StatusOr<std::unique_ptr<Backend>> OpenDevice(const DeviceOptions& options) {
  if (options.device != "cpu") {
    return absl::InvalidArgumentError(absl::StrCat(
        "no device \"", options.device, "\" here; there is cpu (see `potluck devices`)"));
  }
  return CpuBackend::Create({.num_threads = options.num_threads, .target = options.target});
}

std::vector<DeviceInfo> ListDevices() {
  std::vector<DeviceInfo> devices;
  if (const auto cpu = CpuBackend::Create({}); cpu.ok()) devices.push_back((*cpu)->info());
  return devices;
}

int DefaultCpuThreads() { return CpuBackend::DefaultThreads(); }

}  // namespace potluck::kernels
