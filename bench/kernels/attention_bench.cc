// Attention on every instruction set: decoding one token over a long context in GB/s of stored keys
// and values and as a percentage of the read bandwidth measured in the same run, prefill of 256
// tokens in multiply-adds per second. The float operations around it in GB/s read and written.
//
//   attention_bench [--threads=N] [Google Benchmark's options, as --benchmark_filter=decode/.*q8_0]
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "bench/kernels/kernel_bench.h"
#include "kernels/cpu/cpu_backend.h"

namespace potluck::kernels {
namespace {

constexpr int64_t kHeads = 32, kKvHeads = 8, kHeadDim = 128;

struct Case {
  DType dtype;
  std::string target;
  int32_t context, tokens;  // the tokens are the context's last
};

// One sequence whose blocks lie in order.
struct Sequence {
  explicit Sequence(const Case& c)
      : blocks((c.context + kKvBlockPositions - 1) / kKvBlockPositions) {
    std::iota(blocks.begin(), blocks.end(), 0);
    zero.assign(c.tokens, 0);
    length.assign(c.tokens, static_cast<int32_t>(blocks.size()));
    for (int32_t t = 0; t < c.tokens; ++t) {
      position.push_back(c.context - c.tokens + t);
      linear.push_back(position.back() + 1);
    }
    index = {position, position, linear, zero, zero, length, {}, blocks};
  }
  std::vector<int32_t> blocks, zero, length, position, linear;
  KvIndex index;
};

// Half-precision ones and quantised ones look alike enough; what counts is that no number is NaN.
void FillPool(const KvPoolView& pool) {
  for (int64_t i = 0; i < pool.buffer->size_bytes(); ++i) {
    pool.buffer->host()[i] = static_cast<std::byte>((i * 29) & 0x3b);
  }
}

void RunCase(benchmark::State& state, const Case& c, const bench::Machine& machine) {
  auto backend = *CpuBackend::Create({.num_threads = machine.num_threads, .target = c.target});
  if (!backend->Reserve({.max_tokens = c.tokens}).ok()) std::abort();
  Sequence sequence(c);
  KvPoolView pool{c.dtype, kKvHeads, kHeadDim, static_cast<int64_t>(sequence.blocks.size()),
                  nullptr};
  const auto memory = *backend->Allocate(pool.num_blocks * pool.block_bytes(), "pool");
  pool.buffer = memory.get();
  FillPool(pool);
  const int64_t row_bytes = kHeads * kHeadDim * 4;
  const auto q = *backend->Allocate(c.tokens * row_bytes, "q");
  const auto out = *backend->Allocate(c.tokens * row_bytes, "out");
  for (int64_t i = 0; i < c.tokens * row_bytes / 4; ++i) {
    reinterpret_cast<float*>(q->host())[i] = static_cast<float>(i % 31 - 15) / 16;
  }
  const AttentionArgs args{TensorView::Dense(q.get(), 0, {c.tokens, kHeads, kHeadDim}),
                           pool,
                           &sequence.index,
                           0.088f,
                           0,
                           0,
                           TensorView::Dense(out.get(), 0, {c.tokens, kHeads, kHeadDim})};
  for (auto _ : state) {
    if (!backend->Attention(args).ok()) std::abort();
  }
  using benchmark::Counter;
  const double passes = static_cast<double>(state.iterations());
  const double bytes = passes * static_cast<double>(pool.num_blocks * pool.block_bytes());
  if (c.tokens == 1) {
    state.counters["GB/s"] = Counter(bytes / 1e9, Counter::kIsRate);
    state.counters["%bandwidth"] =
        Counter(bytes * 100 / machine.read_bytes_per_second, Counter::kIsRate);
  }
  double positions = 0;
  for (const int32_t position : sequence.position) positions += position + 1;
  state.counters["GMAC/s"] =
      Counter(passes * positions * 2 * kHeads * kHeadDim / 1e9, Counter::kIsRate);
}

// Norm and gate of `tokens` rows, in GB/s of what they read and write.
void RunRows(benchmark::State& state, const Case& c, const bench::Machine& machine, bool gate) {
  auto backend = *CpuBackend::Create({.num_threads = machine.num_threads, .target = c.target});
  constexpr int64_t kDim = 4096;
  const auto a = *backend->Allocate(c.tokens * kDim * 4, "a");
  const auto b = *backend->Allocate(c.tokens * kDim * 4, "b");
  const TensorView x = TensorView::Dense(a.get(), 0, {c.tokens, kDim});
  const TensorView y = TensorView::Dense(b.get(), 0, {c.tokens, kDim});
  const TensorView gain = TensorView::Dense(b.get(), 0, {kDim});
  const TensorView norm = TensorView::Dense(a.get(), 0, {c.tokens, kDim});
  for (auto _ : state) {
    const absl::Status status = gate ? backend->GatedActivation({x, y, GateFunction::kSilu, y})
                                     : backend->RmsNorm({x, gain, 1e-5f, norm});
    if (!status.ok()) std::abort();
  }
  using benchmark::Counter;
  const double bytes = static_cast<double>(state.iterations()) * c.tokens * kDim * 4 * 3;
  state.counters["GB/s"] = Counter(bytes / 1e9, Counter::kIsRate);
}

void AddCases(const bench::Machine& machine) {
  for (const CpuTarget& target : CpuTargets()) {
    if (!target.supported) continue;
    const std::string name(target.name);
    for (const DType dtype : {DType::kF16, DType::kQ8_0, DType::kF32}) {
      const std::string type = name + "/" + std::string(Traits(dtype).name);
      const Case decode{dtype, name, 16384, 1}, prefill{dtype, name, 2048, 256};
      bench::AddCase("decode/" + type, [=](benchmark::State& s) { RunCase(s, decode, machine); });
      bench::AddCase("prefill/" + type, [=](benchmark::State& s) { RunCase(s, prefill, machine); });
    }
    const Case rows{DType::kF32, name, 0, 256};
    bench::AddCase("rms_norm/" + name,
                   [=](benchmark::State& s) { RunRows(s, rows, machine, false); });
    bench::AddCase("silu/" + name, [=](benchmark::State& s) { RunRows(s, rows, machine, true); });
  }
}

}  // namespace
}  // namespace potluck::kernels

int main(int argc, char** argv) {
  return potluck::bench::RunKernelBench(argc, argv, &potluck::kernels::AddCases);
}
