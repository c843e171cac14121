#include "cli/worker_options.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cli/byte_size.h"
#include "cli/environment.h"
#include "cli/network.h"
#include "cli/terminal.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "kernels/devices.h"

namespace potluck::cli {

void AddWorkerFlags(CLI::App& command, WorkerFlags& flags) {
  command.add_option("--name", flags.name,
                     "What people call this machine (default: its host name)");
  command
      .add_option("--device", flags.device,
                  "auto, or devices of `potluck devices` with commas between them")
      ->capture_default_str();
  command.add_option("--memory", flags.memory,
                     "At most so much of each device's memory, as 4GiB (default: what is free)");
  command.add_option("-t,--threads", flags.num_threads, "CPU threads (default: one per core)")
      ->check(CLI::Range(1, 1024));
  command.add_flag("--measure", flags.measure,
                   "Measure the devices again (default: what was measured before, unless the "
                   "machine was busy then)");
  command
      .add_option("--advertise", flags.advertise,
                  "HOST:PORT where other workers reach this one, if not where it listens")
      ->check(AddressTrouble);
  command.add_option("--state-dir", flags.state_folder,
                     "Keys and plans (default: $XDG_STATE_HOME/potluck)");
  command.add_option("--cache-dir", flags.cache_folder,
                     "Fetched weights (default: $XDG_CACHE_HOME/potluck)");
  command.add_option("--cache-size", flags.cache_size,
                     "At most so much of its disk for fetched weights, as 100GiB (default: half "
                     "of the disk)");
  command
      .add_option("--drain-timeout", flags.drain_seconds,
                  "Seconds that who is told to stop goes on: a worker until its layers have moved, "
                  "a coordinator until running answers have ended")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"m", 60}}))
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  command.add_option("--log-level", flags.log_level, "debug, info, warning or error")
      ->capture_default_str();
  command.add_option("--log-format", flags.log_format, "logfmt or json")->capture_default_str();
}

std::string StateBase(const WorkerFlags& flags) {
  return flags.state_folder.empty() ? DefaultStateFolder() : flags.state_folder;
}

absl::StatusOr<WorkerProcessOptions> WorkerOptionsOf(const WorkerFlags& flags) {
  WorkerProcessOptions options;
  options.name = flags.name;
  options.cache_folder = flags.cache_folder.empty() ? DefaultCacheFolder() : flags.cache_folder;
  options.models_folder = DefaultModelsFolder();
  options.num_threads = flags.num_threads;
  options.measure_again = flags.measure;
  options.drain_timeout = absl::Seconds(flags.drain_seconds);
  if (!flags.advertise.empty()) options.advertise = {flags.advertise};
  if (!flags.memory.empty()) {
    const absl::StatusOr<int64_t> bytes = ParseByteSize(flags.memory);
    if (!bytes.ok()) return UsageError(absl::StrCat("--memory ", bytes.status().message()));
    if (*bytes == 0) return UsageError("--memory 0 would leave nothing to work with");
    options.memory_limit_bytes = *bytes;
  }
  if (!flags.cache_size.empty()) {
    const absl::StatusOr<int64_t> bytes = ParseByteSize(flags.cache_size);
    if (!bytes.ok()) return UsageError(absl::StrCat("--cache-size ", bytes.status().message()));
    options.cache_limit_bytes = static_cast<uint64_t>(*bytes);
  }
  std::vector<std::string> known;
  for (const kernels::DeviceInfo& device : kernels::ListDevices()) known.push_back(device.name);
  options.devices = known;
  if (flags.device != "auto") options.devices = absl::StrSplit(flags.device, ',');
  for (const std::string& device : options.devices) {
    if (std::ranges::count(options.devices, device) > 1)
      return UsageError(absl::StrCat("--device names ", Printable(device), " twice"));
    if (std::ranges::find(known, device) == known.end()) {
      return UsageError(absl::StrCat("there is no device ", Printable(device), " here, but ",
                                     absl::StrJoin(known, ", ")));
    }
  }
  return options;
}

absl::Status StartLog(const WorkerFlags& flags) {
  LogOptions options;
  const auto level = ParseLogLevel(flags.log_level);
  if (!level.ok()) return UsageError(ToStd(level.status().message()));
  const auto format = ParseLogFormat(flags.log_format);
  if (!format.ok()) return UsageError(ToStd(format.status().message()));
  options.level = *level;
  options.format = *format;
  options.now = [] { return absl::Now(); };
  options.write = [](std::string_view line) {
    // One write, so that lines of several threads do not mix.
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  };
  ConfigureLog(std::move(options));
  return absl::OkStatus();
}

bool TellsInWords(const WorkerFlags& flags) {
  return IsTerminal(STDERR_FILENO) && flags.log_format == "logfmt";
}

}  // namespace potluck::cli
