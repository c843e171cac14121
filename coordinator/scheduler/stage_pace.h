// How fast each stage is, and so how large a prefill chunk may be while others wait for their next
// token: a stage is held no longer than 50 ms or twice its own decode step, whichever is more, and
// a link no longer than 50 ms.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "wire/messages.h"

namespace potluck::coordinator {

// The plan's estimates at first, then what the stage's own timings say. 0: not known.
struct StageSpeed {
  double decode_step_seconds = 0;
  double prefill_seconds_per_token = 0;
  double link_seconds_per_token = 0;  // of the hop that leaves the stage; the plan's
};

// Thread-compatible.
class StagePace {
 public:
  StagePace() = default;
  explicit StagePace(std::vector<StageSpeed> stages)
      : stages_(std::move(stages)), planned_(stages_), slowness_(stages_.size(), 1) {}

  // A step with so many tokens of each sort took this long, by stage.
  void Measured(int64_t decode_tokens, int64_t prefill_tokens,
                std::span<const wire::StageTiming> timings);

  // The largest chunk that keeps to the rule above, at least 1.
  int64_t ChunkWhileDecoding(int64_t max_tokens) const;
  // Where nobody waits: as large as arithmetic wants, but small enough that a prompt's chunks keep
  // all stages busy. `waiting_tokens`: prompt tokens that are still to be sent.
  int64_t ChunkAlone(int64_t max_tokens, int64_t waiting_tokens) const;

  // How many times as long as planned each stage takes for its steps; 1 where nothing is known.
  std::span<const double> slowness() const { return slowness_; }

  // From the first stage's beginning to the last one's end, by what is known.
  double StepSeconds(int64_t decode_tokens, int64_t prefill_tokens) const;

  std::span<const StageSpeed> stages() const { return stages_; }

 private:
  void MeasureSlowness(size_t stage, int64_t decode_tokens, int64_t prefill_tokens, double seconds);

  std::vector<StageSpeed> stages_, planned_;
  std::vector<double> slowness_;
};

}  // namespace potluck::coordinator
