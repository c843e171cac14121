#include "partition/cost_model.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention.h"

namespace potluck::partition {
namespace {

// Ids, sampling parameters and framing of a step's token.
constexpr double kIdBytesPerToken = 64;

double Rate(const FormatRates& rates, kernels::DType dtype) {
  return rates[static_cast<size_t>(dtype)];
}

// A pool is a host's shared memory, or a device's own.
std::string PoolKey(const DeviceProfile& device) {
  return device.own_memory ? "device " + device.id : "host " + device.host_id;
}

double TouchedBytes(const WeightWork& work, int64_t tokens) {
  const auto held = static_cast<double>(work.held_bytes);
  if (work.touched_share >= 1) return held;
  return held * (1 - std::pow(1 - work.touched_share, static_cast<double>(tokens)));
}

double WeightSeconds(const DeviceProfile& device, const WeightWork& work, int64_t tokens,
                     double speed) {
  if (work.held_bytes == 0) return 0;
  const double reading =
      TouchedBytes(work, tokens) / Rate(device.decode_bytes_per_second, work.dtype);
  const double computing = static_cast<double>(tokens) * work.operations_per_token /
                           Rate(device.prefill_operations_per_second, work.dtype);
  return std::max(reading, computing) / speed;
}

}  // namespace

CostModel::CostModel(const ClusterProfile& cluster, const InstanceWish& wish,
                     const Occupancy& others, std::vector<int> devices)
    : cluster_(cluster),
      wish_(wish),
      others_(others),
      devices_(std::move(devices)),
      network_(cluster),
      memory_(wish) {
  struct Pool {
    int64_t free_bytes = 0, taken_bytes = 0;
    double rivals = 0;
  };
  std::map<std::string, Pool> pools;
  // All devices of the cluster: those that this wish cannot use hold other instances all the same.
  for (const DeviceProfile& device : cluster.devices) {
    Pool& pool = pools[PoolKey(device)];
    pool.free_bytes = std::max(pool.free_bytes, device.free_memory_bytes);
    if (const auto use = others.by_device.find(device.id); use != others.by_device.end()) {
      pool.taken_bytes += use->second.bytes;
      pool.rivals += use->second.instances;
    }
  }
  std::map<std::string, int> number_of_pool;
  for (int number = 0; number < num_devices(); ++number) {
    const DeviceProfile& profile = device(number);
    const Pool& pool = pools[PoolKey(profile)];
    const auto share = [](int64_t bytes) {
      return static_cast<int64_t>(kMemoryShare * static_cast<double>(bytes));
    };
    int64_t own = share(profile.free_memory_bytes);
    if (profile.memory_limit_bytes > 0) own = std::min(own, profile.memory_limit_bytes);
    const auto use = others.by_device.find(profile.id);
    if (use != others.by_device.end()) own -= use->second.bytes;
    device_free_.push_back(std::max<int64_t>(0, own));
    pool_free_.push_back(std::max<int64_t>(0, share(pool.free_bytes) - pool.taken_bytes));
    rivals_.push_back(pool.rivals);
    const auto found = number_of_pool.emplace(PoolKey(profile), num_pools_);
    if (found.second) ++num_pools_;
    pools_.push_back(found.first->second);
    moving_before_.push_back(MovingBefore(number));
  }
}

CostModel CostModel::Among(const std::vector<int>& numbers) const {
  std::vector<int> devices;
  for (const int number : numbers) devices.push_back(devices_[number]);
  return CostModel(cluster_, wish_, others_, std::move(devices));
}

int64_t CostModel::Capacity(int number, int sharers) const {
  return std::min(device_free_[number], pool_free_[number] / std::max(1, sharers));
}

std::vector<int> CostModel::SharersOf(std::span<const Slice> slices) const {
  std::vector<int> in_pool(num_pools_, 0), sharers;
  for (const Slice& slice : slices) ++in_pool[pool(slice.device)];
  for (const Slice& slice : slices) sharers.push_back(in_pool[pool(slice.device)]);
  return sharers;
}

double CostModel::Speed(int number, int sharers) const {
  return (1 - device(number).load) / (1 + rivals_[number]) / sharers;
}

double CostModel::LayerSeconds(const DeviceProfile& device, const LayerShape& layer,
                               const StepWork& work, double speed) const {
  double seconds = device.layer_overhead_seconds;
  for (const WeightWork& weight : layer.weights)
    seconds += WeightSeconds(device, weight, work.tokens, speed);
  const int64_t seen = layer.window > 0 ? std::min(layer.window, work.depth) : work.depth;
  const double kv_bytes = static_cast<double>(kernels::BytesOf(
                              wish_.kv_dtype, kernels::kKvBlockPositions * layer.kv_values)) /
                          kernels::kKvBlockPositions;
  const double reading = static_cast<double>(work.sequences * seen) * kv_bytes /
                         Rate(device.decode_bytes_per_second, wish_.kv_dtype);
  const double computing = static_cast<double>(work.tokens * seen) * layer.operations_per_visit /
                           Rate(device.prefill_operations_per_second, wish_.kv_dtype);
  return seconds + std::max(reading, computing) / speed;
}

StageCosts CostModel::CostsOf(int number, const StepWork& work, int sharers, bool moving) const {
  const DeviceProfile& profile = device(number);
  const double speed = Speed(number, sharers);
  const double share = moving ? static_cast<double>(work.sequences) / kTokensToRepayMoving : 0;
  StageCosts costs{.before = {0}, .stage = profile.step_overhead_seconds};
  costs.before.reserve(num_layers() + 1);
  double layers = 0;
  for (int64_t i = 0; i < num_layers(); ++i) {
    layers += LayerSeconds(profile, wish_.model.layers[i], work, speed);
    costs.before.push_back(layers + share * moving_before_[number][i + 1]);
  }
  const double row_bytes =
      static_cast<double>(work.tokens) * static_cast<double>(wish_.model.embedding_row_bytes);
  costs.embedding =
      row_bytes / Rate(profile.decode_bytes_per_second, wish_.model.embedding.dtype) / speed;
  // Results are wanted of one row of each sequence.
  costs.head = WeightSeconds(profile, wish_.model.head, work.sequences, speed);
  if (moving) {
    costs.embedding += share * EmbeddingLoadSeconds(number);
    costs.head += share * HeadLoadSeconds(number);
  }
  return costs;
}

const Path& CostModel::Hop(int from, int to) const {
  return network_.Between(device(from).worker_id, device(to).worker_id);
}
const Path& CostModel::Enter(int first) const {
  return network_.Between(cluster_.coordinator_id, device(first).worker_id);
}
const Path& CostModel::Leave(int last) const {
  return network_.Between(device(last).worker_id, cluster_.coordinator_id);
}
double CostModel::HopBytes(const StepWork& work) const {
  return static_cast<double>(work.tokens) *
         (kIdBytesPerToken + 4.0 * static_cast<double>(wish_.model.model_dim));
}
double CostModel::IdBytes(const StepWork& work) const {
  return static_cast<double>(work.tokens) * kIdBytesPerToken;
}

int64_t CostModel::depth() const {
  return wish_.depth > 0 ? std::min(wish_.depth, wish_.context_length)
                         : std::min(kMostDepth, wish_.context_length / 2);
}
int64_t CostModel::prompt_tokens() const {
  return std::min(wish_.prompt_tokens > 0 ? wish_.prompt_tokens : kPromptTokens,
                  wish_.context_length);
}
int64_t CostModel::chunk_tokens() const { return std::min(wish_.max_step_tokens, prompt_tokens()); }

int64_t CostModel::InFlight(int64_t stages) const { return std::min(wish_.parallel, stages); }
int64_t CostModel::SequencesPerStep(int64_t in_flight) const {
  return (wish_.parallel + in_flight - 1) / in_flight;
}

bool CostModel::Allowed(std::span<const Slice> slices) const {
  const std::vector<int> sharers = SharersOf(slices);
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& slice = slices[i];
    if (memory_.TotalOf(slice.first, slice.end) > Capacity(slice.device, sharers[i])) return false;
    if (i > 0 && !Hop(slices[i - 1].device, slice.device).reachable) return false;
  }
  return Enter(slices.front().device).reachable && Leave(slices.back().device).reachable;
}

CostModel::Round CostModel::RoundOf(std::span<const Slice> slices, const StepWork& work,
                                    int64_t in_flight, bool as_price) const {
  const std::vector<int> sharers = SharersOf(slices);
  const Path& enter = Enter(slices.front().device);
  Round round{.sum = as_price ? EnterSeconds(enter, IdBytes(work)) : enter.seconds(IdBytes(work))};
  round.sum += Leave(slices.back().device).seconds(IdBytes(work));
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& slice = slices[i];
    const int at_work = in_flight > 1 ? sharers[i] : 1;
    const double stage = CostsOf(slice.device, work, at_work, as_price).Of(slice.first, slice.end);
    round.sum += stage;
    round.slowest = std::max(round.slowest, stage);
    if (i == 0) continue;
    const Path& hop = Hop(slices[i - 1].device, slice.device);
    round.sum += hop.seconds(HopBytes(work));
    round.slowest = std::max(round.slowest, hop.transfer_seconds(HopBytes(work)));
  }
  return round;
}

double CostModel::PriceWith(std::span<const Slice> slices, int64_t in_flight,
                            int64_t sequences) const {
  return RoundOf(slices, Decode(sequences), in_flight, /*as_price=*/true).Seconds(in_flight);
}

double CostModel::Price(std::span<const Slice> slices) const {
  if (slices.empty() || !Allowed(slices)) return kNever;
  if (wish_.objective == Objective::kLatency) return PriceWith(slices, 1, 1);
  const double at_once = PriceWith(slices, 1, wish_.parallel);
  const int64_t in_flight = InFlight(static_cast<int64_t>(slices.size()));
  if (in_flight <= 1) return at_once;
  return std::min(at_once, PriceWith(slices, in_flight, SequencesPerStep(in_flight)));
}

bool CostModel::Holds(int number, int64_t layer) const {
  return std::ranges::any_of(wish_.previous, [&](const Placement& placement) {
    return placement.device_id == device(number).id && placement.first <= layer &&
           layer < placement.end;
  });
}

bool CostModel::Caches(int number, int64_t layer) const {
  return std::ranges::any_of(wish_.cached, [&](const CachedLayers& cached) {
    return cached.worker_id == device(number).worker_id && cached.first <= layer &&
           layer < cached.end;
  });
}

double CostModel::LoadSeconds(int number, double bytes, bool cached) const {
  double seconds = bytes / device(number).load_bytes_per_second;
  if (!cached && Enter(number).reachable) seconds += Enter(number).transfer_seconds(bytes);
  return seconds;
}

// Where it runs nowhere, everything has to be loaded wherever it goes; only what a move costs
// beside staying is counted, so there is nothing to count.
std::vector<double> CostModel::MovingBefore(int number) const {
  std::vector<double> before(num_layers() + 1, 0);
  if (wish_.previous.empty()) return before;
  for (int64_t i = 0; i < num_layers(); ++i) {
    const auto bytes = static_cast<double>(wish_.model.LayerBytes(i));
    before[i + 1] =
        before[i] + (Holds(number, i) ? 0 : LoadSeconds(number, bytes, Caches(number, i)));
  }
  return before;
}

double CostModel::EmbeddingLoadSeconds(int number) const {
  if (wish_.previous.empty() || Holds(number, 0)) return 0;
  return LoadSeconds(number, static_cast<double>(memory_.embedding_bytes()), Caches(number, 0));
}

double CostModel::HeadLoadSeconds(int number) const {
  if (wish_.previous.empty() || Holds(number, num_layers() - 1)) return 0;
  return LoadSeconds(number, static_cast<double>(memory_.head_bytes()),
                     Caches(number, num_layers() - 1));
}

Prediction CostModel::Predict(std::span<const Slice> slices) const {
  const auto round_of = [&](const StepWork& work, int64_t in_flight) {
    return RoundOf(slices, work, in_flight, /*as_price=*/false);
  };
  Prediction prediction{
      .depth = depth(), .prompt_tokens = prompt_tokens(), .chunk_tokens = chunk_tokens()};
  prediction.decode_tokens_per_second = 1 / round_of(Decode(1), 1).sum;
  double together = round_of(Decode(wish_.parallel), 1).sum;
  if (const int64_t m = InFlight(static_cast<int64_t>(slices.size())); m > 1) {
    const double in_flight = round_of(Decode(SequencesPerStep(m)), m).Seconds(m);
    if (in_flight < together) {
      together = in_flight;
      prediction.steps_in_flight = m;
    }
  }
  prediction.together_tokens_per_second = static_cast<double>(wish_.parallel) / together;
  // The first chunk fills the pipeline, the others follow at the pace of its slowest part.
  const auto prompt = static_cast<double>(prediction.prompt_tokens);
  const double others = prompt / static_cast<double>(prediction.chunk_tokens) - 1;
  double seconds = round_of(PromptChunk(), 1).sum;
  if (others > 0) seconds += others * round_of(PromptChunk(), 2).slowest;
  prediction.prefill_tokens_per_second = prompt / seconds;
  return prediction;
}

double CostModel::MovedBytes(std::span<const Slice> slices) const {
  double bytes = 0;
  for (const Slice& slice : slices) {
    for (int64_t i = slice.first; i < slice.end; ++i) {
      if (!Holds(slice.device, i)) bytes += static_cast<double>(wish_.model.LayerBytes(i));
    }
  }
  return bytes;
}

double CostModel::MovingSeconds(std::span<const Slice> slices) const {
  double slowest = 0;
  for (const Slice& slice : slices) {
    double seconds = 0;
    for (int64_t i = slice.first; i < slice.end; ++i) {
      if (Holds(slice.device, i)) continue;
      const auto bytes = static_cast<double>(wish_.model.LayerBytes(i));
      seconds += LoadSeconds(slice.device, bytes, Caches(slice.device, i));
    }
    slowest = std::max(slowest, seconds);
  }
  return slowest;
}

}  // namespace potluck::partition
