#include "kernels/cpu/cpu_backend.h"

#include <cpuinfo.h>
#include <sched.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "kernels/host_memory.h"

namespace potluck::kernels {

absl::StatusOr<std::unique_ptr<CpuBackend>> CpuBackend::Create(const Options& options) {
  auto target = ChooseCpuTarget(options.target);
  if (!target.ok()) return target.status();
  const int num_threads = options.num_threads > 0 ? options.num_threads : DefaultThreads();
  POTLUCK_RETURN_IF_ERROR(CheckThreadsCanStart(num_threads));
  return std::unique_ptr<CpuBackend>(new CpuBackend(**target, num_threads, options.least_shared));
}

int CpuBackend::DefaultThreads() {
  const int cores = cpuinfo_initialize() ? static_cast<int>(cpuinfo_get_cores_count()) : 1;
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return cores;
  return std::min(cores, CPU_COUNT(&allowed));
}

DeviceInfo CpuBackend::info() const {
  const bool known = cpuinfo_initialize() && cpuinfo_get_packages_count() > 0;
  const std::string model = known ? cpuinfo_get_package(0)->name : "CPU";
  const HostMemory memory = ReadHostMemory();
  return {.name = "cpu",
          .hardware = absl::StrCat(model.empty() ? "CPU" : model, ", ", num_threads(), " threads"),
          .target = std::string(target_.name),
          .numerics_class = "cpu-1",
          .total_memory_bytes = memory.total_bytes,
          .free_memory_bytes = memory.free_bytes};
}

absl::Status CpuBackend::Reserve(const StepLimits& limits) {
  POTLUCK_RETURN_IF_ERROR(ReserveProductScratch(limits));
  POTLUCK_RETURN_IF_ERROR(ReserveAttentionScratch(limits));
  limits_ = limits;
  return absl::OkStatus();
}

absl::Status CpuBackend::Fence() {
  threads_.Rest();
  return absl::OkStatus();
}

}  // namespace potluck::kernels
