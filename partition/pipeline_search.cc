#include "partition/pipeline_search.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>

#include "partition/device_ranking.h"
#include "partition/order_search.h"
#include "partition/subset_search.h"

namespace potluck::partition {
namespace {

// Prices that differ by less are one.
constexpr double kSamePrice = 1e-9;

std::vector<int> AllDevices(const CostModel& model) {
  std::vector<int> devices(model.num_devices());
  std::iota(devices.begin(), devices.end(), 0);
  return devices;
}

// How many of the devices are in each pool.
std::vector<int> PoolSizes(const CostModel& model, const std::vector<int>& devices) {
  std::vector<int> sizes(model.num_pools(), 0);
  for (const int device : devices) ++sizes[model.pool(device)];
  return sizes;
}

std::vector<int> DevicesOf(const std::vector<Slice>& slices) {
  std::vector<int> devices;
  for (const Slice& slice : slices) devices.push_back(slice.device);
  return devices;
}

// The sequences of each stage count's steps with one in flight.
int64_t SequencesAtOnce(const CostModel& model) {
  return model.wish().objective == Objective::kLatency ? 1 : model.wish().parallel;
}

class Search {
 public:
  // Looks for pipelines below `price`.
  Search(const CostModel& model, const SearchOptions& options, double price = kNever)
      : model_(model), options_(options), pool_sizes_(PoolSizes(model, AllDevices(model))) {
    choice_.price = price;
    choice_.with_device.resize(model.num_devices());
    with_device_price_.resize(model.num_devices(), kNever);
  }

  PipelineChoice Exact() {
    std::vector<int> sharers(model_.num_pools(), 1);
    do {
      ExactAtOnce(sharers);
      if (options_.any && !choice_.slices.empty()) return choice_;
    } while (NextSharers(sharers));
    const bool in_flight =
        model_.wish().objective == Objective::kThroughput && model_.wish().parallel > 1;
    if (!in_flight || options_.any) return choice_;
    do {
      for (int stages = 2; stages <= model_.num_devices(); ++stages) {
        if (!options_.spread || stages == static_cast<int>(choice_.slices.size()))
          ExactInFlight(sharers, stages);
      }
    } while (NextSharers(sharers));
    return choice_;
  }

  PipelineChoice Heuristic() {
    choice_.exact = false;
    for (int device = 0; device < model_.num_devices(); ++device)
      Offer({{device, 0, model_.num_layers()}});
    for (const std::vector<int>& devices :
         {FastestOfPools(), MostHoldingOfPools(), AllDevices(model_)}) {
      if (!options_.any || choice_.slices.empty()) AlongOrders(devices);
    }
    ExactOnParts();
    return choice_;
  }

 private:
  // All vectors from 1 to the pools' sizes, the last returns to ones.
  bool NextSharers(std::vector<int>& sharers) const {
    for (size_t pool = 0; pool < sharers.size(); ++pool) {
      if (++sharers[pool] <= pool_sizes_[pool]) return true;
      sharers[pool] = 1;
    }
    return false;
  }

  // Keeps a pipeline if it is the best so far; with `spread`, the number of devices decides first.
  void Offer(const std::vector<Slice>& slices) {
    const double price = model_.Price(slices);
    if (price == kNever) return;
    const bool more = options_.spread && slices.size() > choice_.slices.size();
    const bool fewer = options_.spread && slices.size() < choice_.slices.size();
    if (more || (!fewer && price < choice_.price)) {
      choice_.slices = slices;
      choice_.price = price;
    }
    for (const Slice& slice : slices) {
      if (!(price < with_device_price_[slice.device])) continue;
      with_device_price_[slice.device] = price;
      choice_.with_device[slice.device] = slices;
    }
  }

  void ExactAtOnce(const std::vector<int>& sharers) {
    const SplitTables tables =
        MakeSplitTables(model_, SequencesAtOnce(model_), sharers, /*in_flight=*/false);
    SubsetSearch search(tables);
    search.Run(kNever, model_.num_devices());
    // Of every number of devices, and with every device, the best; of equals the first.
    const int n = model_.num_devices();
    std::vector<const SubsetSearch::End*> of_count(n + 1, nullptr), with(n, nullptr);
    const auto keep = [](const SubsetSearch::End*& best, const SubsetSearch::End& end) {
      if (best == nullptr || end.seconds < best->seconds) best = &end;
    };
    for (const SubsetSearch::End& end : search.ends()) {
      keep(of_count[std::popcount(end.devices)], end);
      for (int device = 0; device < n; ++device) {
        if (end.devices >> device & 1) keep(with[device], end);
      }
    }
    for (const SubsetSearch::End* end : of_count) {
      if (end != nullptr) Offer(search.Trace(*end));
    }
    for (const SubsetSearch::End* end : with) {
      if (end != nullptr && !options_.any) Offer(search.Trace(*end));
    }
  }

  // The least price with `stages` stages, m steps in flight: the larger of the sum and m times the
  // slowest stage. A price can be had if the least sum of stages that take at most price / m is no
  // more than it: bisection finds the least such price.
  void ExactInFlight(const std::vector<int>& sharers, int stages) {
    const int64_t in_flight = model_.InFlight(stages);
    const SplitTables tables = MakeSplitTables(model_, model_.SequencesPerStep(in_flight), sharers,
                                               /*in_flight=*/true);
    const auto m = static_cast<double>(in_flight);
    SubsetSearch search(tables);
    double low = 0, high = choice_.price;
    while (high - low > kSamePrice * high) {
      // The first question is whether anything is cheaper than what is known.
      const double middle = low == 0 ? high * (1 - kSamePrice) : (low + high) / 2;
      search.Run(middle / m, stages);
      const SubsetSearch::End* best = nullptr;
      for (const SubsetSearch::End& end : search.ends()) {
        if (std::popcount(end.devices) != stages) continue;
        if (best == nullptr || end.seconds < best->seconds) best = &end;
      }
      if (best == nullptr || best->seconds > middle) {
        if (low == 0) return;
        low = middle;
        continue;
      }
      const std::vector<Slice> slices = search.Trace(*best);
      const SplitCost cost = CostOf(tables, slices);
      Offer(slices);
      high = std::min(middle, std::max(cost.sum, m * cost.slowest));
      // Shorter stages cannot make a smaller sum.
      low = std::max(low, std::min(high, best->seconds));
    }
  }

  // With some devices, as many of each pool as there are; then, as long as it leaves out some that
  // share a pool with others, without these: the others have more room.
  void AlongOrders(std::vector<int> devices) {
    while (tried_orders_.insert(devices).second) {
      const std::vector<int> used = AlongOrdersOf(devices);
      std::vector<int> users(model_.num_pools(), 0);
      for (const int device : used) ++users[model_.pool(device)];
      std::erase_if(devices, [&](int device) {
        return users[model_.pool(device)] > 0 && std::ranges::find(used, device) == used.end();
      });
    }
  }

  // The devices of the best pipeline that was found.
  std::vector<int> AlongOrdersOf(const std::vector<int>& devices) {
    const std::vector<int> sharers = PoolSizes(model_, devices);
    const SplitTables tables =
        MakeSplitTables(model_, SequencesAtOnce(model_), sharers, /*in_flight=*/false);
    OrderGoal goal{.any = options_.any};
    if (options_.spread) goal.bonus_seconds.assign(model_.num_devices(), kDecisiveBonusSeconds);
    std::vector<int> order;
    const std::vector<Slice> best = BestOverOrders(tables, devices, goal, order);
    if (best.empty()) return {};
    Offer(best);
    if (options_.any) return DevicesOf(best);
    if (model_.wish().objective == Objective::kThroughput && model_.InFlight(order.size()) > 1)
      AlongOrdersInFlight(devices, sharers, order, goal);
    if (options_.spread) return DevicesOf(best);
    for (const int device : devices) {
      OrderGoal with;
      with.bonus_seconds.assign(model_.num_devices(), 0);
      with.bonus_seconds[device] = kDecisiveBonusSeconds;
      Offer(BestAlongOrder(tables, order, with));
    }
    return DevicesOf(best);
  }

  // Several steps in flight: the least price along the order that is best with one; then, with as
  // many as there may be, other orders, too.
  void AlongOrdersInFlight(const std::vector<int>& devices, const std::vector<int>& sharers,
                           std::vector<int> order, const OrderGoal& goal) {
    const int64_t most = model_.InFlight(static_cast<int64_t>(order.size()));
    for (int64_t in_flight = 2; in_flight < most; in_flight = in_flight * 5 / 4 + 1)
      AlongOrderInFlight(InFlightTables(sharers, in_flight), order, in_flight, goal);
    const SplitTables tables = InFlightTables(sharers, most);
    AlongOrderInFlight(tables, order, most, goal);
    OrderGoal cheaper = goal;
    cheaper.longest_seconds = choice_.price / static_cast<double>(most);
    BestOverOrders(tables, devices, cheaper, order);
    AlongOrderInFlight(tables, order, most, goal);
  }

  SplitTables InFlightTables(const std::vector<int>& sharers, int64_t in_flight) const {
    return MakeSplitTables(model_, model_.SequencesPerStep(in_flight), sharers, /*in_flight=*/true);
  }

  void AlongOrderInFlight(const SplitTables& tables, const std::vector<int>& order,
                          int64_t in_flight, OrderGoal goal) {
    double low = 0, high = choice_.price;
    while (high - low > 1e-3 * high) {
      const double middle = (low + high) / 2;
      goal.longest_seconds = middle / static_cast<double>(in_flight);
      const std::vector<Slice> slices = BestAlongOrder(tables, order, goal);
      if (slices.empty() || CostOf(tables, slices).sum > middle) {
        low = middle;
      } else {
        Offer(slices);
        high = middle;
      }
    }
  }

  // Where the best pipeline known has more devices than the exact search can take, the parts are
  // only the highest ranks.
  void ExactOnParts() {
    const SplitTables tables = MakeSplitTables(model_, SequencesAtOnce(model_),
                                               std::vector<int>(model_.num_pools(), 1), false);
    const std::vector<std::vector<int>> rankings = RankDevices(tables);
    const auto most = static_cast<size_t>(options_.most_exact_devices);
    for (const std::vector<int>& ranking : rankings) {
      if (options_.any && !choice_.slices.empty()) return;
      ExactOn({ranking.begin(), ranking.begin() + options_.most_exact_devices});
    }
    bool better = !options_.any && !choice_.slices.empty();
    while (better && choice_.slices.size() < most) {
      better = false;
      const std::vector<int> used = DevicesOf(choice_.slices);
      std::vector<int> others = rankings.front();
      std::erase_if(others,
                    [&](int device) { return std::ranges::find(used, device) != used.end(); });
      const size_t room = most - used.size();
      for (size_t next = 0; next < others.size(); next += room) {
        std::vector<int> part = used;
        for (size_t i = next; i < std::min(others.size(), next + room); ++i)
          part.push_back(others[i]);
        better |= ExactOn(std::move(part));
      }
    }
  }

  // Whether it has found a better pipeline than was known.
  bool ExactOn(std::vector<int> devices) {
    std::ranges::sort(devices);
    if (!tried_parts_.insert(devices).second) return false;
    const CostModel part = model_.Among(devices);
    const double below = options_.spread ? kNever : choice_.price;
    const PipelineChoice found = Search(part, options_, below).Exact();
    const auto numbered = [&](std::vector<Slice> slices) {
      for (Slice& slice : slices) slice.device = devices[slice.device];
      return slices;
    };
    const std::vector<Slice> before = choice_.slices;
    for (const std::vector<Slice>& with : found.with_device) {
      if (!with.empty()) Offer(numbered(with));
    }
    if (!found.slices.empty()) Offer(numbered(found.slices));
    return choice_.slices != before;
  }

  std::vector<int> FastestOfPools() const {
    std::vector<int> fastest(model_.num_pools(), -1);
    std::vector<double> seconds(model_.num_pools(), kNever);
    const StepWork work = model_.Decode(SequencesAtOnce(model_));
    for (int device = 0; device < model_.num_devices(); ++device) {
      const double whole = model_.CostsOf(device, work, 1, true).Of(0, model_.num_layers());
      const int pool = model_.pool(device);
      if (fastest[pool] >= 0 && !(whole < seconds[pool])) continue;
      fastest[pool] = device;
      seconds[pool] = whole;
    }
    std::ranges::sort(fastest);
    return fastest;
  }

  // Of each pool the devices that hold the most layers, side by side.
  std::vector<int> MostHoldingOfPools() const {
    std::vector<std::vector<int>> chosen(model_.num_pools());
    std::vector<int64_t> most(model_.num_pools(), 0);
    const int largest = *std::ranges::max_element(pool_sizes_);
    for (int sharers = 1; sharers <= largest; ++sharers) {
      const SplitTables tables =
          MakeSplitTables(model_, SequencesAtOnce(model_),
                          std::vector<int>(model_.num_pools(), sharers), /*in_flight=*/false);
      std::vector<int> taken(model_.num_pools(), 0);
      std::vector<int64_t> held(model_.num_pools(), 0);
      std::vector<std::vector<int>> members(model_.num_pools());
      for (const int device : MostHoldingFirst(tables)) {
        const int pool = model_.pool(device);
        if (taken[pool] == sharers) continue;
        ++taken[pool];
        held[pool] += LayersHeld(tables, device);
        members[pool].push_back(device);
      }
      for (int pool = 0; pool < model_.num_pools(); ++pool) {
        if (taken[pool] < sharers || held[pool] <= most[pool]) continue;
        most[pool] = held[pool];
        chosen[pool] = members[pool];
      }
    }
    std::vector<int> devices;
    for (const std::vector<int>& members : chosen)
      devices.insert(devices.end(), members.begin(), members.end());
    std::ranges::sort(devices);
    return devices;
  }

  const CostModel& model_;
  const SearchOptions options_;
  const std::vector<int> pool_sizes_;
  PipelineChoice choice_;
  std::vector<double> with_device_price_;
  std::set<std::vector<int>> tried_parts_;   // by ExactOn
  std::set<std::vector<int>> tried_orders_;  // by AlongOrders
};

}  // namespace

PipelineChoice FindPipeline(const CostModel& model, const SearchOptions& options) {
  if (model.num_devices() == 0) return {};
  Search search(model, options);
  return model.num_devices() <= options.most_exact_devices ? search.Exact() : search.Heuristic();
}

}  // namespace potluck::partition
