// Products of every weight type on every instruction set: decoding (one row of x) in GB/s of stored
// weights and as a percentage of the read bandwidth measured in the same run, prefill (many rows)
// in multiply-adds per second.
//
//   products_bench [--threads=N] [Google Benchmark's options, as --benchmark_filter=decode/.*q4_k]
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "bench/kernels/kernel_bench.h"
#include "kernels/cpu/cpu_backend.h"

namespace potluck::kernels {
namespace {

struct Case {
  DType dtype;
  std::string target;
  int64_t rows, cols, tokens;
};

// Bytes with scales of zero exponent bits in every place where a scale might be: sound for all
// types, and as much work as any others.
std::vector<std::byte> SmallWeights(DType dtype, int64_t values) {
  std::vector<std::byte> bytes(BytesOf(dtype, values));
  uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>((state >> 24) & 0x3b);
  }
  return bytes;
}

void RunCase(benchmark::State& state, const Case& c, const bench::Machine& machine) {
  auto backend = *CpuBackend::Create({.num_threads = machine.num_threads, .target = c.target});
  std::unique_ptr<Weight> weight;
  const int64_t stored_bytes = c.rows * BytesOf(c.dtype, c.cols);
  {
    const auto bytes = SmallWeights(c.dtype, c.rows * c.cols);
    weight = *backend->LoadWeight(
        {.name = "w", .dtype = c.dtype, .rows = c.rows, .cols = c.cols, .parts = {bytes}});
  }
  if (!backend->Reserve({.max_tokens = c.tokens, .max_input_dim = c.cols}).ok()) std::abort();
  const auto x = *backend->Allocate(c.tokens * c.cols * 4, "x");
  const auto y = *backend->Allocate(c.tokens * c.rows * 4, "y");
  for (int64_t i = 0; i < c.tokens * c.cols; ++i) {
    reinterpret_cast<float*>(x->host())[i] = static_cast<float>(i % 255 - 127);
  }
  const Product product = {.weight = weight.get(),
                           .y = TensorView::Dense(y.get(), 0, {c.tokens, c.rows})};
  const MatMulArgs args = {.x = TensorView::Dense(x.get(), 0, {c.tokens, c.cols}),
                           .products = {&product, 1}};
  for (auto _ : state) {
    if (!backend->MatMul(args).ok()) std::abort();
  }
  using benchmark::Counter;
  const double passes = static_cast<double>(state.iterations());
  state.counters["GB/s"] = Counter(passes * stored_bytes / 1e9, Counter::kIsRate);
  if (c.tokens == 1) {
    state.counters["%bandwidth"] =
        Counter(passes * stored_bytes * 100 / machine.read_bytes_per_second, Counter::kIsRate);
  } else {
    state.counters["GMAC/s"] = Counter(passes * c.rows * c.cols * c.tokens / 1e9, Counter::kIsRate);
  }
}

void AddCases(const bench::Machine& machine) {
  for (const CpuTarget& target : CpuTargets()) {
    if (!target.supported) continue;
    for (const DTypeTraits& type : WeightDTypes()) {
      const auto add = [&](const char* what, int64_t rows, int64_t cols, int64_t tokens) {
        const Case c = {type.dtype, std::string(target.name), rows, cols, tokens};
        const std::string name =
            std::string(what) + "/" + std::string(target.name) + "/" + std::string(type.name);
        bench::AddCase(name, [=](benchmark::State& s) { RunCase(s, c, machine); });
      };
      add("decode", 16384, 8192, 1);
      add("prefill", 1024, 4096, 64);
    }
  }
}

}  // namespace
}  // namespace potluck::kernels

int main(int argc, char** argv) {
  return potluck::bench::RunKernelBench(argc, argv, &potluck::kernels::AddCases);
}
