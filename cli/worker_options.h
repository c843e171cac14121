// What the owner of a machine says of its worker: the flags that `up` and `join` share.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "cli/worker_process.h"

namespace potluck::cli {

struct WorkerFlags {
  std::string name, device = "auto", memory, advertise, state_folder, cache_folder, cache_size;
  int num_threads = 0;
  bool measure = false;
  double drain_seconds = 20;
  std::string log_level = "info", log_format = "logfmt";
};

// --name, --device, --memory, --threads, --measure, --advertise, --state-dir, --cache-dir,
// --cache-size, --drain-timeout, --log-level, --log-format.
void AddWorkerFlags(CLI::App& command, WorkerFlags& flags);

// Usage errors for devices and sizes that there are not.
absl::StatusOr<WorkerProcessOptions> WorkerOptionsOf(const WorkerFlags& flags);
std::string StateBase(const WorkerFlags& flags);

// From here on events go to standard error.
absl::Status StartLog(const WorkerFlags& flags);
// Whether a person reads what goes there, and is told in words.
bool TellsInWords(const WorkerFlags& flags);

}  // namespace potluck::cli
