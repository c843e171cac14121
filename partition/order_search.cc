#include "partition/order_search.h"

#include <algorithm>

namespace potluck::partition {
namespace {

double BonusOf(const OrderGoal& goal, int device) {
  return goal.bonus_seconds.empty() ? 0 : goal.bonus_seconds[device];
}

// What BestAlongOrder minimises.
double PriceOf(const SplitTables& tables, const std::vector<Slice>& slices, const OrderGoal& goal) {
  if (slices.empty()) return kNever;
  double price = CostOf(tables, slices).sum;
  for (const Slice& slice : slices) price -= BonusOf(goal, slice.device);
  return price;
}

class AlongOrder {
 public:
  AlongOrder(const SplitTables& tables, const std::vector<int>& order, const OrderGoal& goal)
      : tables_(tables), order_(order), goal_(goal), rows_(order.size()) {}

  std::vector<Slice> Best() {
    size_t best_last = 0;
    double best = kNever;
    for (size_t place = 0; place < order_.size(); ++place) {
      Fill(place);
      const double seconds = rows_[place].best.back() + tables_.leave_seconds[order_[place]];
      if (!(seconds < best)) continue;
      best = seconds;
      best_last = place;
    }
    return best == kNever ? std::vector<Slice>() : Trace(best_last);
  }

 private:
  // Pipelines that end in one device: by layers done, their price, where its own layers begin, and
  // the place of the device before it (-1: none).
  struct Row {
    std::vector<double> best;
    std::vector<int64_t> first;
    std::vector<int> before;
  };

  void Fill(size_t place) {
    const int device = order_[place];
    const int64_t layers = tables_.num_layers;
    const StageCosts& costs = tables_.costs[device];
    Row& row = rows_[place];
    row = {.best = std::vector<double>(layers + 1, kNever),
           .first = std::vector<int64_t>(layers + 1, 0),
           .before = std::vector<int>(layers + 1, -1)};
    const double bonus = BonusOf(goal_, device);
    if (tables_.enter_seconds[device] < kNever) {
      for (int64_t end = 1; end <= layers; ++end) {
        if (StageFits(tables_, {device, 0, end}, goal_.longest_seconds))
          row.best[end] = tables_.enter_seconds[device] + costs.Of(0, end) - bonus;
      }
    }
    std::vector<double> arrived(layers + 1, kNever);
    std::vector<int> from(layers + 1, -1);
    for (size_t q = 0; q < place; ++q) {
      if (tables_.Link(order_[q], device) > goal_.longest_seconds) continue;
      const double hop = tables_.Hop(order_[q], device);
      if (hop == kNever) continue;
      for (int64_t i = 1; i < layers; ++i) {
        const double seconds = rows_[q].best[i] + hop - costs.before[i];
        if (!(seconds < arrived[i])) continue;
        arrived[i] = seconds;
        from[i] = static_cast<int>(q);
      }
    }
    const std::vector<int64_t> first_layers = FirstLayers(tables_, device, goal_.longest_seconds);
    std::vector<int64_t> window(layers + 1);
    size_t head = 0, size = 0;
    const auto take = [&](int64_t end, int64_t first) {
      const double seconds = arrived[first] + costs.before[end] + costs.stage +
                             (end == layers ? costs.head : 0) - bonus;
      if (!(seconds < row.best[end])) return;
      row.best[end] = seconds;
      row.first[end] = first;
      row.before[end] = from[first];
    };
    for (int64_t end = 2; end < layers; ++end) {
      while (size > head && arrived[window[size - 1]] > arrived[end - 1]) --size;
      window[size++] = end - 1;
      while (head < size && window[head] < first_layers[end]) ++head;
      if (head < size) take(end, window[head]);
    }
    for (int64_t first = first_layers[layers]; first < layers; ++first) take(layers, first);
  }

  std::vector<Slice> Trace(size_t place) const {
    std::vector<Slice> slices;
    int64_t end = tables_.num_layers;
    for (int at = static_cast<int>(place); at >= 0;) {
      const Row& row = rows_[at];
      slices.push_back({order_[at], row.first[end], end});
      at = row.before[end];
      end = slices.back().first;
    }
    std::ranges::reverse(slices);
    return slices;
  }

  const SplitTables& tables_;
  const std::vector<int>& order_;
  const OrderGoal& goal_;
  std::vector<Row> rows_;
};

double WholeModelSeconds(const SplitTables& tables, int device) {
  return tables.costs[device].Of(0, tables.num_layers);
}

// Starting from the coordinator, always on to the device that is reached soonest.
std::vector<int> NearestFirst(const SplitTables& tables, std::vector<int> devices) {
  std::vector<int> order;
  while (!devices.empty()) {
    const auto distance = [&](int device) {
      return order.empty() ? tables.enter_seconds[device] : tables.Hop(order.back(), device);
    };
    const auto nearest = std::ranges::min_element(devices, {}, distance);
    order.push_back(*nearest);
    devices.erase(nearest);
  }
  return order;
}

// Prime, and larger than the number of devices: its multiples meet all pairs.
constexpr int64_t kPairStride = 7919;

// Changes of an order, by two different places in it.
using Place = std::vector<int>::iterator;
void MoveOne(Place from, Place to) {
  from < to ? std::rotate(from, from + 1, to + 1) : std::rotate(to, from, from + 1);
}
void Exchange(Place a, Place b) { std::iter_swap(a, b); }
void TurnRound(Place first, Place last) { std::reverse(first, last + 1); }

}  // namespace

std::vector<Slice> BestAlongOrder(const SplitTables& tables, const std::vector<int>& order,
                                  const OrderGoal& goal) {
  return AlongOrder(tables, order, goal).Best();
}

std::vector<Slice> BestOverOrders(const SplitTables& tables, const std::vector<int>& devices,
                                  const OrderGoal& goal, std::vector<int>& best_order) {
  std::vector<int> fastest_first = devices;
  std::ranges::stable_sort(fastest_first, {},
                           [&](int device) { return WholeModelSeconds(tables, device); });
  std::vector<Slice> best;
  double best_price = kNever;
  int64_t tried = 0;
  const auto accept = [&](const std::vector<int>& order) {
    ++tried;
    std::vector<Slice> slices = BestAlongOrder(tables, order, goal);
    const double price = PriceOf(tables, slices, goal);
    if (!(price < best_price)) return false;
    best_price = price;
    best = std::move(slices);
    best_order = order;
    return true;
  };
  best_order = devices;
  for (const auto& order : {devices, fastest_first, NearestFirst(tables, devices)}) {
    accept(order);
    if (goal.any && !best.empty()) return best;
  }
  // All pairs of places in turn, far from each other, until none of them helps.
  const auto n = static_cast<int64_t>(devices.size());
  const int64_t most = kMostOrderSteps / (n * n * tables.num_layers);
  int64_t pair = 0;
  for (int64_t in_vain = 0; in_vain < n * n && tried < most; ++in_vain) {
    pair = (pair + kPairStride) % (n * n);
    const int64_t from = pair / n, to = pair % n;
    for (const auto change : {MoveOne, Exchange, TurnRound}) {
      if (from == to || (from > to && change != MoveOne)) continue;
      std::vector<int> order = best_order;
      change(order.begin() + from, order.begin() + to);
      if (accept(order)) in_vain = 0;
    }
    if (goal.any && !best.empty()) return best;
  }
  return best;
}

}  // namespace potluck::partition
