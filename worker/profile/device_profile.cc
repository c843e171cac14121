#include "worker/profile/device_profile.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "kernels/host_memory.h"
#include "worker/profile/host.h"
#include "worker/profile/speed_file.h"

namespace potluck::worker {
namespace {

// Of a reading in the running mean: with a heartbeat each half second, the last few seconds count.
constexpr double kNewestLoad = 0.2;

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
  absl::StatusOr<KernelSpeeds> known = absl::NotFoundError("what was known is not asked for");
  if (!options.measure_again) known = ReadSpeeds(path, key);
  if (known.ok() && known->load <= kBusyLoad) return known;
  options.load_by_others();
  POTLUCK_ASSIGN_OR_RETURN(KernelSpeeds speeds,
                           MeasureKernelSpeeds(backend, clock, options.speeds));
  speeds.load = options.load_by_others();
  if (known.ok() && known->load <= speeds.load) return known;
  if (speeds.load > kBusyLoad) {
    Log(LogLevel::kWarning, "measured on a busy machine, which looks slower than it is",
        {{"device", info.name},
         {"load", speeds.load},
         {"again", "at the next start, or with --measure"}});
  }
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
  return wire::DeviceProfile{.device = info.name,
                             .description = info.hardware,
                             .backend = BackendOf(info.name),
                             .numerics_class = info.numerics_class,
                             .own_memory = info.own_memory,
                             .memory_bytes = info.total_memory_bytes,
                             .free_memory_bytes = info.free_memory_bytes,
                             .memory_limit_bytes = options.memory_limit_bytes,
                             .step_overhead_seconds = speeds->step_overhead_seconds,
                             .layer_overhead_seconds = speeds->layer_overhead_seconds,
                             .rates = std::move(speeds->rates)};
}

std::vector<int64_t> ReallyHeld(std::vector<int64_t> held_bytes, int64_t private_bytes) {
  for (int64_t& held : held_bytes) {
    held = std::clamp<int64_t>(held, 0, private_bytes);
    private_bytes -= held;
  }
  return held_bytes;
}

MachineState MachineWatch::Read(const std::vector<int64_t>& held_bytes) {
  const CpuLoad now = meter_.Read();
  load_.others += kNewestLoad * (now.others - load_.others);
  load_.own += kNewestLoad * (now.own - load_.own);
  MachineState state{.load = load_.others,
                     .own_load = load_.own,
                     .held_memory_bytes = ReallyHeld(held_bytes, PrivateBytes())};
  state.free_memory_bytes.assign(held_bytes.size(), kernels::ReadHostMemory().free_bytes);
  return state;
}

}  // namespace potluck::worker
