#include "coordinator/scheduler/stage_pace.h"

#include <algorithm>

namespace potluck::coordinator {
namespace {

constexpr double kHoldSeconds = 0.050;
// Of a new measurement in the running mean.
constexpr double kWeight = 0.2;
// Fewer prompt tokens than this say more of the step's fixed costs than of their own.
constexpr int64_t kTellingTokens = 16;
// While nothing is known: small enough for a slow board.
constexpr int64_t kUnknownChunk = 16;
// Below this, a product reads its weights for too few rows.
constexpr int64_t kEfficientChunk = 64;
constexpr int64_t kChunksPerStage = 8;

void Blend(double& mean, double measured) {
  mean = mean == 0 ? measured : mean + kWeight * (measured - mean);
}

}  // namespace

void StagePace::Measured(int64_t decode_tokens, int64_t prefill_tokens,
                         std::span<const wire::StageTiming> timings) {
  for (size_t i = 0; i < std::min(stages_.size(), timings.size()); ++i) {
    StageSpeed& stage = stages_[i];
    const double seconds = timings[i].computing_seconds;
    if (!(seconds > 0)) continue;  // a peer's number
    MeasureSlowness(i, decode_tokens, prefill_tokens, seconds);
    if (prefill_tokens == 0 && decode_tokens > 0) {
      Blend(stage.decode_step_seconds, seconds);
    } else if (prefill_tokens >= kTellingTokens) {
      Blend(stage.prefill_seconds_per_token, seconds / static_cast<double>(prefill_tokens));
    }
  }
}

// A step that reads the weights once and computes with them for all of its tokens takes no longer
// than both, one after the other.
void StagePace::MeasureSlowness(size_t stage, int64_t decode_tokens, int64_t prefill_tokens,
                                double seconds) {
  const StageSpeed& planned = planned_[stage];
  const auto tokens = static_cast<double>(decode_tokens + prefill_tokens);
  const double expected =
      planned.decode_step_seconds + (tokens - 1) * planned.prefill_seconds_per_token;
  if (tokens > 0 && expected > 0) Blend(slowness_[stage], seconds / expected);
}

int64_t StagePace::ChunkWhileDecoding(int64_t max_tokens) const {
  auto chunk = static_cast<double>(max_tokens);
  for (const StageSpeed& stage : stages_) {
    if (stage.prefill_seconds_per_token == 0) {
      chunk = std::min(chunk, static_cast<double>(kUnknownChunk));
    } else {
      const double hold = std::max(kHoldSeconds, 2 * stage.decode_step_seconds);
      chunk = std::min(chunk, hold / stage.prefill_seconds_per_token);
    }
    if (stage.link_seconds_per_token > 0)
      chunk = std::min(chunk, kHoldSeconds / stage.link_seconds_per_token);
  }
  return std::max<int64_t>(1, static_cast<int64_t>(chunk));
}

int64_t StagePace::ChunkAlone(int64_t max_tokens, int64_t waiting_tokens) const {
  const auto num_stages = static_cast<int64_t>(stages_.size());
  if (num_stages <= 1) return max_tokens;
  const int64_t pieces = kChunksPerStage * num_stages;
  const int64_t even = (waiting_tokens + pieces - 1) / pieces;
  return std::min(max_tokens, std::max(kEfficientChunk, even));
}

double StagePace::StepSeconds(int64_t decode_tokens, int64_t prefill_tokens) const {
  double seconds = 0;
  for (const StageSpeed& stage : stages_) {
    const auto tokens = static_cast<double>(decode_tokens + prefill_tokens);
    if (decode_tokens > 0) seconds += stage.decode_step_seconds;
    seconds += stage.prefill_seconds_per_token * static_cast<double>(prefill_tokens) +
               stage.link_seconds_per_token * tokens;
  }
  return seconds;
}

}  // namespace potluck::coordinator
