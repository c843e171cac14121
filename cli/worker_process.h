// A worker of this process: its threads, devices, caches and listener, put together. `potluck join`
// is one of these; `potluck up` has one beside its coordinator.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/store/local_files.h"
#include "wire/trust/tls_identity.h"
#include "worker/worker.h"

namespace potluck::cli {

struct WorkerProcessOptions {
  std::string name;                           // a label; empty: the host's name
  std::string state_folder;                   // locked by the caller
  std::string cache_folder;                   // of weights, shared by all workers of this user
  std::optional<uint64_t> cache_limit_bytes;  // none: half of its disk
  // Model files of this machine, whose weights are not fetched. Null: those of which the cache
  // folder has manifests.
  std::shared_ptr<model::LocalFiles> local_files;
  std::string models_folder;         // where models that are to be fetched are looked for
  std::vector<std::string> devices;  // as `potluck devices` names them
  int64_t memory_limit_bytes = 0;    // for stages, of each device; 0: none
  int num_threads = 0;               // of the CPU; 0: one per core
  bool measure_again = false;        // the devices, whatever is known of them
  std::string listen;                // "HOST:PORT" where other workers may dial it; empty: nowhere
  std::vector<std::string> advertise;  // what they dial; empty: where it listens
  std::vector<std::string> coordinator;
  std::string metrics;     // "HOST:PORT" where Prometheus may read; empty: nowhere
  std::string sys_folder;  // as EnergyMeter's
  absl::Duration drain_timeout = absl::Seconds(20);
  // Keeps a renewed identity for the next start; from the worker's own thread. May be empty.
  std::function<absl::Status(const wire::TlsIdentity&)> keep_identity;
};

class WorkerProcess {
 public:
  // Measures the devices where their speeds are not known, then dials. Calls of `events` come from
  // the worker's own thread. Errors say which device, folder or address is at fault.
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Start(WorkerProcessOptions options,
                                                              wire::TlsIdentity identity,
                                                              worker::WorkerEvents events);
  ~WorkerProcess();

  // Thread-safe, as Worker's.
  void Leave();
  void Pause(bool paused);

 private:
  class Impl;
  explicit WorkerProcess(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

// As the machine calls itself, without its domain.
std::string HostName();

}  // namespace potluck::cli
