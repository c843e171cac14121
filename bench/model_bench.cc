#include "bench/model_bench.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "model/graph/bound_graph.h"
#include "model/step.h"

namespace potluck::bench {
namespace {

using model::SequenceId;
using model::Step;

// Looks on while tests run.
struct Watch {
  std::function<bool()> cancelled;
  std::function<void(int64_t)> on_tokens;  // so many more are done
};

// Runs steps of made-up tokens: their numbers cost the same as real ones.
class Driver {
 public:
  Driver(model::LocalModel& loaded, const Watch& watch)
      : stage_(loaded.stage()), vocab_size_(loaded.config().vocab_size), watch_(watch) {}

  absl::Status Prefill(SequenceId sequence, int64_t from, int64_t count) {
    for (int64_t done = 0; done < count;) {
      const int64_t now = std::min(stage_.max_tokens(), count - done);
      step_.tokens.clear();
      for (int64_t i = 0; i < now; ++i) {
        Append(sequence, from + done + i, static_cast<int32_t>(i) - 1, model::TokenKind::kPrompt);
      }
      done += now;
      if (done == count) step_.tokens.back().wanted = model::Wanted::kLogits;
      POTLUCK_RETURN_IF_ERROR(RunStep());
    }
    return absl::OkStatus();
  }

  absl::Status Decode(int64_t sequences, int64_t from, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      step_.tokens.clear();
      for (SequenceId sequence = 0; sequence < sequences; ++sequence) {
        Append(sequence, from + i, model::kCommittedEnd, model::TokenKind::kGenerated);
        step_.tokens.back().wanted = model::Wanted::kLogits;
      }
      POTLUCK_RETURN_IF_ERROR(RunStep());
    }
    return absl::OkStatus();
  }

 private:
  void Append(SequenceId sequence, int64_t position, int32_t parent, model::TokenKind kind) {
    // A Weyl sequence walks through the vocabulary without a pattern that a cache could like.
    next_token_ += 0x9E3779B97F4A7C15;
    step_.tokens.push_back({.sequence = sequence,
                            .id = static_cast<model::TokenId>((next_token_ >> 33) % vocab_size_),
                            .position = static_cast<int32_t>(position),
                            .parent = parent,
                            .kind = kind});
  }
  absl::Status RunStep() {
    POTLUCK_RETURN_IF_ERROR(stage_.Run(step_, {}, watch_.cancelled));
    watch_.on_tokens(static_cast<int64_t>(step_.tokens.size()));
    return absl::OkStatus();
  }

  model::DecoderStage& stage_;
  const uint64_t vocab_size_;
  const Watch& watch_;
  Step step_;
  uint64_t next_token_ = 0;
};

struct Test {
  std::string name;
  bool decode = false;
  int64_t tokens = 0;  // per sequence
  int64_t sequences = 1;
};

// Seconds of one run, after the depth is filled.
absl::StatusOr<double> RunOnce(model::LocalModel& loaded, const Test& test, int64_t depth,
                               const Clock& clock, const Watch& watch) {
  model::KvCache& kv = loaded.stage().kv();
  SequenceId begun = 0;
  absl::Cleanup free_sequences = [&] {
    while (begun > 0) kv.Apply(model::FreeCommand{--begun}).IgnoreError();
  };
  Driver driver(loaded, watch);
  for (; begun < test.sequences; ++begun) {
    POTLUCK_RETURN_IF_ERROR(kv.Begin(begun, {}).status());
    POTLUCK_RETURN_IF_ERROR(driver.Prefill(begun, 0, depth));
  }
  const absl::Duration start = clock.SinceStart();
  POTLUCK_RETURN_IF_ERROR(test.decode ? driver.Decode(test.sequences, depth, test.tokens)
                                      : driver.Prefill(0, depth, test.tokens));
  return absl::ToDoubleSeconds(clock.SinceStart() - start);
}

// Bytes of weights that one decoded token reads: all but the rows of the embedding that are not its
// own, and the experts that it does not go through.
int64_t WeightBytesPerToken(const model::LocalModel& loaded) {
  const model::ModelConfig& config = loaded.config();
  int64_t bytes = 0;
  for (const model::WeightTensor& tensor : loaded.file().weights->tensors()) {
    int64_t tensor_bytes = model::StoredBytes(tensor);
    if (tensor.name == "token_embd.weight" && !config.tied_embeddings) continue;
    if (config.experts.num_experts > 0 && absl::StrContains(tensor.name, "_exps.")) {
      tensor_bytes = tensor_bytes / config.experts.num_experts * config.experts.num_experts_used;
    }
    bytes += tensor_bytes;
  }
  return bytes;
}

// KV that one token reads on average while its sequence grows from `depth` by `tokens`.
double KvBytesPerToken(model::LocalModel& loaded, int64_t depth, int64_t tokens) {
  const model::KvCache& kv = loaded.stage().kv();
  const double positions = static_cast<double>(depth) + static_cast<double>(tokens + 1) / 2;
  double bytes = 0;
  for (int64_t layer = 0; layer < kv.num_layers(); ++layer) {
    const double seen =
        kv.window(layer) > 0 ? std::min<double>(positions, kv.window(layer)) : positions;
    bytes += seen * static_cast<double>(kv.pool(layer).block_bytes()) / kernels::kKvBlockPositions;
  }
  return bytes;
}

// Of sorted numbers.
double Median(const std::vector<double>& sorted) {
  const size_t upper = sorted.size() / 2, lower = (sorted.size() - 1) / 2;
  return (sorted[lower] + sorted[upper]) / 2;
}

absl::StatusOr<ModelBenchResult> RunTest(model::LocalModel& loaded, const Test& test,
                                         const ModelBenchOptions& options, const Clock& clock,
                                         const ModelBenchCallbacks& callbacks) {
  const auto all_tokens = static_cast<double>(test.tokens * test.sequences);
  const int64_t tokens_of_all_runs =
      (options.repetitions + 1) * test.sequences * (options.depth + test.tokens);
  int64_t tokens_done = 0;
  const Watch watch{.cancelled = callbacks.cancelled, .on_tokens = [&](int64_t tokens) {
                      tokens_done += tokens;
                      if (!callbacks.on_progress) return;
                      callbacks.on_progress(test.name, static_cast<double>(tokens_done) /
                                                           static_cast<double>(tokens_of_all_runs));
                    }};
  std::vector<double> rates;
  // The first run warms caches up and is not counted.
  for (int run = 0; run <= options.repetitions; ++run) {
    POTLUCK_ASSIGN_OR_RETURN(const double seconds,
                             RunOnce(loaded, test, options.depth, clock, watch));
    if (run > 0) rates.push_back(all_tokens / seconds);
  }
  std::ranges::sort(rates);
  ModelBenchResult result{.test = test.name,
                          .tokens_per_second = Median(rates),
                          .fastest = rates.back(),
                          .slowest = rates.front()};
  if (test.decode) {
    const double steps_per_second = result.tokens_per_second / static_cast<double>(test.sequences);
    result.bytes_per_second =
        steps_per_second * static_cast<double>(WeightBytesPerToken(loaded)) +
        result.tokens_per_second * KvBytesPerToken(loaded, options.depth, test.tokens);
  }
  return result;
}

}  // namespace

int64_t ContextFor(const ModelBenchOptions& options) {
  return options.depth + std::max(options.prompt_tokens, options.generate_tokens) + 1;
}

absl::StatusOr<std::vector<ModelBenchResult>> RunModelBench(model::LocalModel& loaded,
                                                            const ModelBenchOptions& options,
                                                            const Clock& clock,
                                                            const ModelBenchCallbacks& callbacks) {
  const std::string at_depth = options.depth > 0 ? absl::StrCat("@d", options.depth) : "";
  const std::string together = options.sequences > 1 ? absl::StrCat("x", options.sequences) : "";
  std::vector<Test> tests;
  if (options.prompt_tokens > 0) {
    tests.push_back(
        {absl::StrCat("pp", options.prompt_tokens, at_depth), false, options.prompt_tokens, 1});
  }
  if (options.generate_tokens > 0) {
    tests.push_back({absl::StrCat("tg", options.generate_tokens, together, at_depth), true,
                     options.generate_tokens, options.sequences});
  }
  std::vector<ModelBenchResult> results;
  for (const Test& test : tests) {
    POTLUCK_ASSIGN_OR_RETURN(results.emplace_back(),
                             RunTest(loaded, test, options, clock, callbacks));
  }
  return results;
}

}  // namespace potluck::bench
