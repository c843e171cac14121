// potluck devices: what this machine can compute on.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/terminal.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "kernels/devices.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

// As a command would compute on each of them.
absl::StatusOr<std::vector<kernels::DeviceInfo>> DevicesAsUsed() {
  std::vector<kernels::DeviceInfo> devices;
  for (const kernels::DeviceInfo& device : kernels::ListDevices()) {
    const auto opened =
        kernels::OpenDevice({.device = device.name, .target = EnvironmentOr("POTLUCK_TARGET", "")});
    if (absl::IsInvalidArgument(opened.status()))
      return UsageError(ToStd(opened.status().message()));
    POTLUCK_RETURN_IF_ERROR(opened.status());
    devices.push_back((*opened)->info());
  }
  return devices;
}

absl::Status ListDevices(bool json) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<kernels::DeviceInfo> devices, DevicesAsUsed());
  ordered_json result = ordered_json::array();
  for (const kernels::DeviceInfo& device : devices) {
    if (!json) {
      absl::PrintF("%s: %s; %s, numerics class %s; %d of %d MiB free\n", device.name,
                   device.hardware, device.target, device.numerics_class,
                   device.free_memory_bytes >> 20, device.total_memory_bytes >> 20);
    }
    result.push_back({{"name", device.name},
                      {"hardware", device.hardware},
                      {"target", device.target},
                      {"numerics_class", device.numerics_class},
                      {"total_memory_bytes", device.total_memory_bytes},
                      {"free_memory_bytes", device.free_memory_bytes}});
  }
  if (json) std::cout << result.dump(2) << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddDevicesCommand(CLI::App& app, Command& command) {
  auto json = std::make_shared<bool>(false);
  CLI::App* devices =
      app.add_subcommand("devices", "List the devices of this machine that models run on");
  devices->add_flag("--json", *json, "Print a JSON array");
  devices->footer("Example:\n  potluck devices --json");
  devices->callback([json, &command] { command = [json] { return ListDevices(*json); }; });
}

}  // namespace potluck::cli
