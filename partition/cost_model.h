// How long a pipeline takes, and what its devices can hold.
//
// A device reads weights at its decode bandwidth and computes at its prefill rate; a step of T
// tokens takes, for the weights of one format in one layer,
//
//   max(bytes touched / bandwidth, T * operations per token / rate)
//
// and the same for keys and values; each layer and each step add the device's overhead. Of experts,
// T tokens touch the share 1 - (1 - used / all)^T. A hop takes half a round trip, an overhead, and
// its bytes over the link's bandwidth. Load by others and other instances on the same memory slow a
// device in proportion. k devices of one host that work at the same time run at 1/k of their speed
// each, and each may fill 1/k of the host's memory; in a pipeline with one step in flight they work
// one after the other, at full speed.
//
// C streams decode either as one step of C tokens, which takes the sum of all stages and hops; or
// as m = min(C, stages) steps in flight of ceil(C / m) tokens each, all of which are done after the
// larger of that sum (of the smaller step) and m times the slowest stage or link. The better
// counts.
//
// Source: ours; the roofline of Williams et al. 2009. Measured speeds are held against it by `plan
// --check`.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "partition/network.h"
#include "partition/plan.h"
#include "partition/stage_memory.h"

namespace potluck::partition {

inline constexpr double kNever = std::numeric_limits<double>::infinity();
// Moving weights pays if it does within so many tokens: the price of a token is its time plus its
// share of the moving.
inline constexpr double kTokensToRepayMoving = 10000;
// Predictions are for a token that follows so many positions, or half of the context.
inline constexpr int64_t kMostDepth = 2048;
inline constexpr int64_t kPromptTokens = 2048;

// What other instances have taken: bytes by device id, and how many stages, by device id.
struct Occupancy {
  struct Use {
    int64_t bytes = 0;
    int instances = 0;
  };
  std::map<std::string, Use> by_device;
};

// Layers [first, end) on device number `device`.
struct Slice {
  int device = 0;
  int64_t first = 0, end = 0;
  friend bool operator==(const Slice&, const Slice&) = default;
};

// One step: its new tokens, of how many sequences, and how many earlier positions each sees.
struct StepWork {
  int64_t tokens = 1, sequences = 1, depth = 0;
};

// Seconds of any stage on one device.
struct StageCosts {
  std::vector<double> before;  // of the layers before, num_layers + 1 sums
  double stage = 0, embedding = 0, head = 0;

  double Of(int64_t first, int64_t end) const {
    double seconds = before[end] - before[first] + stage;
    if (first == 0) seconds += embedding;
    if (end + 1 == static_cast<int64_t>(before.size())) seconds += head;
    return seconds;
  }
};

// The costs of one wish on some devices of a cluster. Immutable.
class CostModel {
 public:
  // Profile and wish are valid; the three outlive it. `devices` are indices into cluster.devices,
  // and their order is the numbering of Slice::device.
  CostModel(const ClusterProfile& cluster, const InstanceWish& wish, const Occupancy& others,
            std::vector<int> devices);

  // The same question on some of its devices, numbered anew in the order of `numbers`.
  CostModel Among(const std::vector<int>& numbers) const;

  int num_devices() const { return static_cast<int>(devices_.size()); }
  const DeviceProfile& device(int number) const { return cluster_.devices[devices_[number]]; }
  const InstanceWish& wish() const { return wish_; }
  const StageMemory& memory() const { return memory_; }
  int64_t num_layers() const { return wish_.model.num_layers(); }

  // Devices of one pool share memory and bandwidth. Pools are numbered from 0.
  int pool(int number) const { return pools_[number]; }
  int num_pools() const { return num_pools_; }
  // What this instance may take of a device while `sharers` devices of its pool work for it.
  int64_t Capacity(int number, int sharers) const;
  // How many of the slices are in each slice's pool, itself included.
  std::vector<int> SharersOf(std::span<const Slice> slices) const;

  // `sharers`: devices of the pool at work at the same time. With `moving`, a step pays its tokens'
  // share of loading what the device does not hold.
  StageCosts CostsOf(int number, const StepWork& work, int sharers, bool moving) const;
  const Path& Hop(int from, int to) const;
  const Path& Enter(int first) const;
  const Path& Leave(int last) const;
  double HopBytes(const StepWork& work) const;
  double IdBytes(const StepWork& work) const;  // to the first and from the last stage

  StepWork Decode(int64_t sequences) const { return {sequences, sequences, depth()}; }
  StepWork PromptChunk() const { return {chunk_tokens(), 1, prompt_tokens() / 2}; }
  int64_t depth() const;
  int64_t prompt_tokens() const;
  int64_t chunk_tokens() const;

  // What the planner minimises: seconds until each of the wish's streams (kLatency: one stream) has
  // its next token, moving counted. kNever where memory or links forbid it. The way to the first
  // stage counts a thousandth more, so that of equals the one near the coordinator comes first.
  double Price(std::span<const Slice> slices) const;
  // The price with m steps in flight of so many sequences each.
  double PriceWith(std::span<const Slice> slices, int64_t in_flight, int64_t sequences) const;
  static double EnterSeconds(const Path& path, double bytes) { return 1.001 * path.seconds(bytes); }

  // The sizes of steps that `stages` stages may have in flight: m and ceil(C / m).
  int64_t InFlight(int64_t stages) const;
  int64_t SequencesPerStep(int64_t in_flight) const;

  // What a person is told: moving and preferences left out.
  Prediction Predict(std::span<const Slice> slices) const;
  double MovedBytes(std::span<const Slice> slices) const;
  double MovingSeconds(std::span<const Slice> slices) const;

 private:
  struct Round {
    double sum = 0;      // of all stages and hops
    double slowest = 0;  // of them: the longest that a stage or a link is held
    double Seconds(int64_t in_flight) const {
      return in_flight > 1 ? std::max(sum, static_cast<double>(in_flight) * slowest) : sum;
    }
  };
  // `as_price`: with moving and preferences.
  Round RoundOf(std::span<const Slice> slices, const StepWork& work, int64_t in_flight,
                bool as_price) const;
  double LayerSeconds(const DeviceProfile& device, const LayerShape& layer, const StepWork& work,
                      double speed) const;
  double Speed(int number, int sharers) const;
  bool Allowed(std::span<const Slice> slices) const;
  // Seconds that loading a layer, the embedding or the head takes on a device; 0 where it is there.
  double LoadSeconds(int number, double bytes, bool cached) const;
  std::vector<double> MovingBefore(int number) const;
  bool Holds(int number, int64_t layer) const;
  bool Caches(int number, int64_t layer) const;
  double EmbeddingLoadSeconds(int number) const;
  double HeadLoadSeconds(int number) const;

  const ClusterProfile& cluster_;
  const InstanceWish& wish_;
  const Occupancy& others_;
  const std::vector<int> devices_;
  const Network network_;
  const StageMemory memory_;
  std::vector<int> pools_;  // by device number
  int num_pools_ = 0;
  std::vector<int64_t> device_free_;                // of a device alone, by device number
  std::vector<int64_t> pool_free_;                  // of its pool, by device number
  std::vector<double> rivals_;                      // other instances in its pool, by device number
  std::vector<std::vector<double>> moving_before_;  // by device number
};

}  // namespace potluck::partition
