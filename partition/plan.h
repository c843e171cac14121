// What the planner is asked and what it answers.
//
// A plan is a list of instances; an instance is a model on a pipeline of stages, each a contiguous
// range of layers on one device.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/dtype.h"
#include "partition/layer_wishes.h"
#include "partition/model_shape.h"
#include "partition/profiles.h"

namespace potluck::partition {

enum class Objective {
  kLatency,     // the soonest next token of one stream
  kThroughput,  // the most tokens per second of `parallel` streams together
};

// Layers [first, end) on a device: where an instance stands, or is to stand.
struct Placement {
  std::string device_id;
  int64_t first = 0, end = 0;
  friend bool operator==(const Placement&, const Placement&) = default;
};

// Layers [first, end) of the model in a worker's disk cache.
struct CachedLayers {
  std::string worker_id;
  int64_t first = 0, end = 0;
};

// What has become of a copy of layers [first, end) that a standby was asked to keep on its disk.
enum class CopyState : uint8_t { kComing, kOnDisk, kFailed };
struct StandbyCopy {
  std::string worker_id;
  int64_t first = 0, end = 0;
  CopyState state = CopyState::kComing;
};

struct InstanceWish {
  std::string id;
  ModelShape model;
  int64_t context_length = 0;                      // positions of a sequence; 0: see planner.h
  int64_t parallel = 1;                            // sequences at once
  kernels::DType kv_dtype = kernels::DType::kF16;  // kF32, kF16 or kQ8_0
  int64_t max_step_tokens = 512;
  Objective objective = Objective::kLatency;
  bool spread = false;  // use every device that can hold a layer
  LayerWishes layers;   // a split that is wished for; empty: the planner's own
  bool stays = false;   // `layers` is where it is (or its standbys are), not a person's wish
  int copies = 2;       // devices that hold a layer's weights, disk caches included
  // Where it runs now, in order; empty: nowhere. Those layers and this memory stay its own while
  // other instances are planned, and moving a layer counts.
  std::vector<Placement> previous;
  std::vector<CachedLayers> cached;
  std::vector<StandbyCopy> standing_by;  // who has failed to keep one stands by no more
  // What speeds are told for; 0: cost_model.h's.
  int64_t prompt_tokens = 0, depth = 0;
};

struct Standby {
  std::string device_id, worker_id, name;
  bool fits_in_memory = false;  // beside all that it holds: takes over without a new plan
  bool on_disk = false;         // its copy is complete
};

struct StagePlan {
  std::string device_id, worker_id, name;
  int64_t first_layer = 0, last_layer = 0;  // both are its own
  bool has_embedding = false, has_head = false;
  int64_t weight_bytes = 0, kv_bytes = 0, activation_bytes = 0, replay_bytes = 0;
  int64_t allowed_bytes = 0;     // that this instance may take of the device
  double decode_seconds = 0;     // of one token of one stream
  double prefill_seconds = 0;    // of a chunk of Prediction::chunk_tokens
  std::vector<Standby> standby;  // copies - 1 of them, or fewer where space lacks

  int64_t total_bytes() const { return weight_bytes + kv_bytes + activation_bytes + replay_bytes; }
};

// Between two stages, from the coordinator to the first, or from the last to the coordinator.
struct HopPlan {
  std::string from, to;  // labels of the workers, or the coordinator's id
  bool relayed = false;
  double decode_seconds = 0, prefill_seconds = 0;
};

struct Prediction {
  int64_t depth = 0;          // positions that precede a decoded token
  int64_t prompt_tokens = 0;  // of the prompt that prefill is predicted for
  int64_t chunk_tokens = 0;
  double prefill_tokens_per_second = 0;
  double decode_tokens_per_second = 0;    // one stream
  double together_tokens_per_second = 0;  // `parallel` streams
  int64_t steps_in_flight = 1;            // that reach it
};

struct LeftOut {
  std::string device_id, worker_id, name;
  std::string reason;
};

// What becomes of the instance when a worker is lost.
struct WorkerLoss {
  std::string worker_id, name;
  bool survived = false;
  std::string how;  // or why not
};

struct InstancePlan {
  std::string id, model;
  int64_t context_length = 0, parallel = 1;
  std::vector<StagePlan> stages;
  std::vector<HopPlan> hops;  // stages + 1
  Prediction prediction;
  std::vector<LeftOut> left_out;
  std::vector<WorkerLoss> losses;  // of every worker that holds a stage
  std::vector<std::string> notes;  // what a person should know besides
  int64_t moved_bytes = 0;         // weights that devices load for this plan
  double moving_seconds = 0;       // until they have, side by side
  bool exact = true;               // the best there is, or the best that the heuristic found

  std::vector<Placement> placements() const;
};

}  // namespace potluck::partition
