// potluck bench: how fast a model runs here, beside what the memory allows.
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/model_bench.h"
#include "bench/read_bandwidth.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "common/status_macros.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

struct BenchOptions {
  ModelOptions model;
  bench::ModelBenchOptions bench;
  bool json = false;
};

void PrintTable(const std::vector<bench::ModelBenchResult>& results, model::LocalModel& loaded,
                double bandwidth) {
  const kernels::DeviceInfo device = loaded.backend().info();
  absl::PrintF("%s, %.1f MiB, on %s (%s); memory reads %.1f GB/s\n\n", loaded.file().name,
               static_cast<double>(loaded.stage().memory().weight_bytes) / (1 << 20),
               device.hardware, device.target, bandwidth / 1e9);
  absl::PrintF("| %-14s | %10s | %21s | %7s | %14s |\n", "test", "tokens/s", "slowest .. fastest",
               "GB/s", "% of bandwidth");
  absl::PrintF(
      "| -------------- | ---------: | --------------------: | ------: | -------------: |\n");
  bool beyond_memory = false;
  for (const bench::ModelBenchResult& result : results) {
    const std::string range = absl::StrFormat("%.2f .. %.2f", result.slowest, result.fastest);
    const bool has_bytes = result.bytes_per_second > 0;
    absl::PrintF(
        "| %-14s | %10.2f | %21s | %7s | %14s |\n", result.test, result.tokens_per_second, range,
        has_bytes ? absl::StrFormat("%.2f", result.bytes_per_second / 1e9) : "",
        has_bytes ? absl::StrFormat("%.0f%%", 100 * result.bytes_per_second / bandwidth) : "");
    beyond_memory |= result.bytes_per_second > bandwidth;
  }
  if (beyond_memory) {
    absl::PrintF(
        "\nMore than 100%%: the weights, or a part of them, stay in the processor's caches.\n");
  }
}

void PrintJson(const std::vector<bench::ModelBenchResult>& results, model::LocalModel& loaded,
               double bandwidth) {
  const kernels::DeviceInfo device = loaded.backend().info();
  ordered_json all = ordered_json::array();
  for (const bench::ModelBenchResult& result : results) {
    ordered_json line = {
        {"test", result.test},         {"tokens_per_second", result.tokens_per_second},
        {"slowest", result.slowest},   {"fastest", result.fastest},
        {"model", loaded.file().name}, {"weight_bytes", loaded.stage().memory().weight_bytes},
        {"device", device.name},       {"hardware", device.hardware},
        {"target", device.target},     {"memory_bytes_per_second", bandwidth}};
    if (result.bytes_per_second > 0) {
      line["bytes_per_second"] = result.bytes_per_second;
      line["share_of_bandwidth"] = result.bytes_per_second / bandwidth;
    }
    all.push_back(std::move(line));
  }
  std::cout << all.dump(2) << "\n";
}

absl::StatusOr<std::vector<bench::ModelBenchResult>> Measure(
    model::LocalModel& loaded, const bench::ModelBenchOptions& options) {
  ProgressLine progress("measuring");
  return bench::RunModelBench(
      loaded, options, SteadyClock(),
      {.cancelled = &Interrupted, .on_progress = [&](const std::string& test, double fraction) {
         progress.Show(fraction, test);
       }});
}

absl::Status Bench(BenchOptions options) {
  if (options.bench.prompt_tokens == 0 && options.bench.generate_tokens == 0)
    return UsageError("with -p 0 and -n 0 there is nothing to measure");
  // Before the model takes the memory.
  POTLUCK_ASSIGN_OR_RETURN(const double bandwidth,
                           bench::MeasureReadBandwidth(ThreadsFor(options.model)));
  const int64_t context = bench::ContextFor(options.bench);
  options.model.context_length = context;
  POTLUCK_ASSIGN_OR_RETURN(
      const auto loaded, LoadModel(options.model, {.allow_longer_context = true,
                                                   .max_sequences = options.bench.sequences,
                                                   .kv_capacity = context * options.bench.sequences,
                                                   .max_outputs = options.bench.sequences}));
  if (context > loaded->config().context_length) {
    absl::FPrintF(
        stderr,
        "note: the tests use a context of %d tokens, the model was trained for %d: speed only\n",
        context, loaded->config().context_length);
  }
  POTLUCK_ASSIGN_OR_RETURN(const auto results, Measure(*loaded, options.bench));
  options.json ? PrintJson(results, *loaded, bandwidth) : PrintTable(results, *loaded, bandwidth);
  return absl::OkStatus();
}

}  // namespace

void AddBenchCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* bench = app.add_subcommand("bench", "Measure how fast a model runs here");
  AddModelArgument(*bench, options->model);
  AddKvTypeOption(*bench, options->model);
  AddDeviceOptions(*bench, options->model);
  const auto count = CLI::Range(int64_t{0}, int64_t{1} << 24);
  bench
      ->add_option("-p,--prompt", options->bench.prompt_tokens,
                   "Tokens of the prefill test; 0: none")
      ->check(count)
      ->capture_default_str();
  bench
      ->add_option("-n,--generate", options->bench.generate_tokens,
                   "Tokens of the decode test; 0: none")
      ->check(count)
      ->capture_default_str();
  bench
      ->add_option("-d,--depth", options->bench.depth,
                   "Positions that are filled before a test begins")
      ->check(count)
      ->capture_default_str();
  bench->add_option("--sequences", options->bench.sequences, "Sequences that decode together")
      ->check(CLI::Range(int64_t{1}, int64_t{4096}))
      ->capture_default_str();
  bench
      ->add_option("-r,--repetitions", options->bench.repetitions,
                   "Counted runs of each test; the median is shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  bench->add_flag("--json", options->json, "Print a JSON array");
  bench->footer(
      "Examples:\n  potluck bench model.gguf\n  potluck bench model.gguf -p 0 -n 128 -d 8192 "
      "--json");
  bench->callback([options, &command] { command = [options] { return Bench(*options); }; });
}

}  // namespace potluck::cli
