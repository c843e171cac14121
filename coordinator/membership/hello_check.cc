#include "coordinator/membership/hello_check.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "coordinator/membership/cluster_profile.h"
#include "partition/profiles.h"

namespace potluck::coordinator {
namespace {

constexpr size_t kMostIdBytes = 64, kMostNameBytes = 64;
constexpr size_t kMostDevices = 16, kMostAddresses = 16;

bool IsWord(const std::string& text) {
  return !text.empty() && text.size() <= kMostIdBytes && std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == ':' ||
           c == '.';
  });
}

absl::Status CheckDevice(const wire::DeviceProfile& device) {
  if (!IsWord(device.device)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a device is called \"", Printable(device.device), "\""));
  }
  if (device.memory_bytes < 0 || device.free_memory_bytes < 0 || device.held_memory_bytes < 0 ||
      device.memory_limit_bytes < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("device ", device.device, " says that it has less than no memory"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckHello(wire::WorkerHello& hello) {
  if (!IsWord(hello.worker) || hello.worker == wire::kCoordinator) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", Printable(hello.worker), "\" is no worker's id"));
  }
  if (hello.devices.empty() || hello.devices.size() > kMostDevices ||
      hello.addresses.size() > kMostAddresses || hello.disk_free_bytes < 0) {
    return absl::InvalidArgumentError(absl::StrCat("worker ", hello.worker, " comes with ",
                                                   hello.devices.size(), " devices and ",
                                                   hello.addresses.size(), " addresses"));
  }
  std::set<std::string> names;
  for (const wire::DeviceProfile& device : hello.devices) {
    if (absl::Status status = CheckDevice(device); !status.ok()) return status;
    if (!names.insert(device.device).second)
      return absl::InvalidArgumentError(
          absl::StrCat("worker ", hello.worker, " has two devices ", device.device));
  }
  hello.name = Printable(hello.name, kMostNameBytes);
  if (hello.name.empty()) hello.name = hello.worker.substr(0, 8);
  // One lying profile must not make the planner refuse the whole cluster.
  Member member{.hello = hello};
  member.has_control = member.has_data = member.measured = true;
  return partition::Validate(MakeClusterProfile({{hello.worker, member}}, "", {}));
}

}  // namespace potluck::coordinator
