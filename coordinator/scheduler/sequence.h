// A request's text as the coordinator keeps it, and what of it the stages hold.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/scheduler/block_ledger.h"
#include "model/generation/finish_reason.h"
#include "model/sampling/sampler.h"
#include "model/step.h"
#include "wire/messages.h"

namespace potluck::coordinator {

struct SequenceRequest {
  std::vector<model::TokenId> prompt;
  model::SamplingParams sampling;
  int32_t choice = 0;
  int64_t max_tokens = -1;                 // -1: until the answer or the context ends
  std::vector<model::TokenId> end_tokens;  // the vocabulary's own, too
  int32_t top_logprobs = -1;               // as in model::GenerationRequest
  bool tell_progress = false;              // of the prompt
  // Instead of an answer: the prompt's rows after the last norm, from this position on.
  std::optional<int32_t> rows_from;
};

// Where the time of steps went that carried a request, with whatever else was in them. Since the
// present epoch began.
struct StageTimes {
  int64_t steps = 0;
  std::vector<wire::StageTiming> by_stage;

  void Add(std::span<const wire::StageTiming> timings) {
    ++steps;
    if (by_stage.size() < timings.size()) by_stage.resize(timings.size());
    for (size_t i = 0; i < timings.size(); ++i) {
      by_stage[i].waiting_seconds += timings[i].waiting_seconds;
      by_stage[i].computing_seconds += timings[i].computing_seconds;
    }
  }
};

struct Sequence {
  enum class Phase : uint8_t {
    kWaiting,  // on no stage
    kActive,   // on all stages, growing
    kKept,     // ended; its KV stays until the space is needed
  };

  model::SequenceId id = 0;
  SequenceRequest request;             // its prompt has moved to `tokens`
  std::vector<model::TokenId> tokens;  // prompt and generated: the truth
  int32_t prompt_length = 0;
  int32_t cached_tokens = 0;  // of the prompt, that needed no computing when it was first admitted
  std::optional<absl::Duration> admitted_at;  // to the stages, for the first time
  StageTimes stage_times;
  int32_t rows_taken = 0;  // positions whose rows have come, or are not wanted; where rows are

  Phase phase = Phase::kWaiting;
  // Its name on the stages, a new one each time that it is begun there: so a stage that has missed
  // some commands can never take one life of it for another.
  model::SequenceId stage_id = 0;
  bool reader_paused = false;
  int32_t sent = 0;     // positions that are on the stages, or on their way there
  int32_t reached = 0;  // the most that `sent` has been since it was begun there
  std::vector<BlockLedger::Block> blocks;
  int64_t last_step = 0;  // that carried it
  // After a change of plan, up to `replay_end`: by stage, the position from which it computes
  // again. What is before that it holds, and passes on where the stage after it computes.
  std::vector<int32_t> replay_starts;
  int32_t replay_end = 0;  // where all stages are level; 0: they are

  int32_t worker_deaths = 0;  // while a step of it was in flight
  int32_t step_errors = 0;    // of steps with it

  int32_t size() const { return static_cast<int32_t>(tokens.size()); }
  int32_t generated() const { return size() - prompt_length; }
  int32_t unsent() const { return size() - sent; }
  bool wants_rows() const { return request.rows_from.has_value(); }
  bool decoding() const { return unsent() <= 1 && !wants_rows(); }
  // Positions of which nothing is wanted but their KV: what others hold of them will do.
  int32_t settled() const { return wants_rows() ? rows_taken : size() - 1; }
  bool replaying() const { return sent < replay_end; }
  // Positions whose KV some stage may hold.
  int32_t most_held() const { return std::max(sent, replay_end); }
  model::TokenKind kind(int32_t position) const {
    return position < prompt_length ? model::TokenKind::kPrompt : model::TokenKind::kGenerated;
  }
};

}  // namespace potluck::coordinator
