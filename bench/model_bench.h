// Whole-model speed: prefill and decode in tokens per second, beside the bytes that a token must
// read.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "model/generation/local_model.h"

namespace potluck::bench {

struct ModelBenchOptions {
  int64_t prompt_tokens = 512;    // 0: no prefill test
  int64_t generate_tokens = 128;  // 0: no decode test
  int64_t depth = 0;              // positions that are there before a test begins
  int64_t sequences = 1;          // that decode together
  int repetitions = 5;            // >= 1, after a first one that is not counted
};

struct ModelBenchResult {
  std::string test;              // "pp512", "tg128", "tg128@d8192", "tg128x16"
  double tokens_per_second = 0;  // median; of all sequences together
  double fastest = 0, slowest = 0;
  // Decode: weights and KV that each step reads, by the clock. 0 for prefill.
  double bytes_per_second = 0;
};

struct ModelBenchCallbacks {
  std::function<bool()> cancelled;  // true ends it with Cancelled
  // Of one test: what is done of it, its repetitions and depth included.
  std::function<void(const std::string& test, double fraction)> on_progress;
};

// Context that the tests need.
int64_t ContextFor(const ModelBenchOptions& options);

// The model must have been loaded with room for ContextFor() in each of `sequences` sequences.
absl::StatusOr<std::vector<ModelBenchResult>> RunModelBench(model::LocalModel& loaded,
                                                            const ModelBenchOptions& options,
                                                            const Clock& clock,
                                                            const ModelBenchCallbacks& callbacks);

}  // namespace potluck::bench
