#include "worker/profile/device_profile.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "kernels/host_buffer.h"
#include "worker/profile/host.h"
#include "worker/profile/speed_file.h"

namespace potluck::worker {
namespace {

// "cpu", "opencl:0": before the colon.
std::string BackendOf(const std::string& device) { return device.substr(0, device.find(':')); }

std::string SpeedPath(const std::string& folder, const std::string& device) {
  std::string name = device;
  std::ranges::replace_if(
      name, [](char c) { return !absl::ascii_isalnum(static_cast<unsigned char>(c)); }, '-');
  return absl::StrCat(folder, "/speeds-", name, ".json");
}

absl::StatusOr<KernelSpeeds> SpeedsOf(kernels::Backend& backend, const kernels::DeviceInfo& info,
                                      const Clock& clock, const ProfileOptions& options) {
  const std::string path = SpeedPath(options.state_folder, info.name);
  const SpeedKey key{info.name, info.hardware, info.target, options.version};
  if (!options.measure_again) {
    absl::StatusOr<KernelSpeeds> known = ReadSpeeds(path, key);
    if (known.ok()) return known;
  }
  POTLUCK_ASSIGN_OR_RETURN(KernelSpeeds speeds,
                           MeasureKernelSpeeds(backend, clock, options.speeds));
  if (const absl::Status kept = WriteSpeeds(path, key, speeds); !kept.ok())
    Log(LogLevel::kWarning, "the measured speeds are not kept", {{"status", kept}});
  return speeds;
}

}  // namespace

absl::StatusOr<wire::DeviceProfile> ProfileDevice(kernels::Backend& backend, const Clock& clock,
                                                  const ProfileOptions& options) {
  const kernels::DeviceInfo info = backend.info();
  absl::StatusOr<KernelSpeeds> speeds = SpeedsOf(backend, info, clock, options);
  if (!speeds.ok()) return Annotate(speeds.status(), "measuring " + info.name);
  return wire::DeviceProfile{
      .device = info.name,
      .description = info.hardware,
      .backend = BackendOf(info.name),
      .numerics_class = info.numerics_class,
      .own_memory = info.own_memory,
      .memory_bytes = info.total_memory_bytes,
      .free_memory_bytes = FreeWithinLimit(info.free_memory_bytes, 0, options.memory_limit_bytes),
      .step_overhead_seconds = speeds->step_overhead_seconds,
      .layer_overhead_seconds = speeds->layer_overhead_seconds,
      .rates = std::move(speeds->rates)};
}

int64_t FreeWithinLimit(int64_t free_bytes, int64_t held_bytes, int64_t limit_bytes) {
  if (limit_bytes > 0) free_bytes = std::min(free_bytes, limit_bytes - held_bytes);
  return std::max<int64_t>(0, free_bytes);
}

MachineWatch::MachineWatch(size_t num_devices, std::string cache_folder, int64_t memory_limit_bytes)
    : num_devices_(num_devices),
      cache_folder_(std::move(cache_folder)),
      memory_limit_bytes_(memory_limit_bytes) {
  load_.Read();
}

MachineState MachineWatch::Read(const std::vector<int64_t>& held_bytes) {
  MachineState state{.load = load_.Read(), .disk_free_bytes = FreeDiskBytes(cache_folder_)};
  const kernels::HostMemory memory = kernels::ReadHostMemory();
  for (size_t i = 0; i < num_devices_; ++i) {
    const int64_t held = i < held_bytes.size() ? held_bytes[i] : 0;
    state.free_memory_bytes.push_back(
        FreeWithinLimit(memory.free_bytes, held, memory_limit_bytes_));
  }
  return state;
}

}  // namespace potluck::worker
