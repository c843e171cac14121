#include "bench/kernels/kernel_bench.h"

#include <cstdio>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "bench/read_bandwidth.h"
#include "kernels/cpu/cpu_backend.h"

namespace potluck::bench {

void AddCase(const std::string& name, const std::function<void(benchmark::State&)>& body) {
  benchmark::RegisterBenchmark(name.c_str(), body)->UseRealTime()->Unit(benchmark::kMillisecond);
}

int RunKernelBench(int argc, char** argv, void (*add_cases)(const Machine& machine)) {
  benchmark::Initialize(&argc, argv);
  int num_threads = kernels::CpuBackend::DefaultThreads();
  constexpr std::string_view kThreads = "--threads=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with(kThreads) ||
        !absl::SimpleAtoi(argv[i] + kThreads.size(), &num_threads) || num_threads < 1) {
      std::fprintf(stderr, "%s is no option: --threads=N, N >= 1, is\n", argv[i]);
      return 2;
    }
  }
  const absl::StatusOr<double> bandwidth = MeasureReadBandwidth(num_threads);
  if (!bandwidth.ok()) {
    std::fprintf(stderr, "%s\n", std::string(bandwidth.status().message()).c_str());
    return 1;
  }
  const Machine machine{num_threads, *bandwidth};
  std::printf("%d threads read %.1f GB/s\n", num_threads, machine.read_bytes_per_second / 1e9);
  add_cases(machine);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace potluck::bench
