// What the benches of kernels share: a command line, and the ceiling that they report beside.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>

namespace potluck::bench {

struct Machine {
  int num_threads;
  double read_bytes_per_second;  // of all these threads together, measured at the start
};

// Registers a case, which reports in milliseconds of real time.
void AddCase(const std::string& name, const std::function<void(benchmark::State&)>& body);

// The main of a bench: reads --threads=N (default: one per physical core) and Google Benchmark's
// own options, measures the machine, and runs what `add_cases` registers. Returns the exit status.
int RunKernelBench(int argc, char** argv, void (*add_cases)(const Machine& machine));

}  // namespace potluck::bench
