#include "partition/subset_search.h"

#include <algorithm>
#include <bit>

namespace potluck::partition {

SubsetSearch::SubsetSearch(const SplitTables& tables)
    : tables_(tables),
      num_devices_(tables.num_devices()),
      row_size_(static_cast<size_t>(tables.num_layers) + 1),
      first_layers_(num_devices_),
      arrived_(row_size_),
      window_(row_size_) {
  const uint32_t num_sets = uint32_t{1} << num_devices_;
  best_.resize(static_cast<size_t>(num_sets) * num_devices_ * row_size_);
  reached_.resize(static_cast<size_t>(num_sets) * num_devices_);
  std::vector<uint32_t> members(tables.sharers.size(), 0);
  for (int device = 0; device < num_devices_; ++device)
    members[tables.pool[device]] |= uint32_t{1} << device;
  for (uint32_t set = 0; set < num_sets; ++set) {
    char may_grow = set != 0, is_whole = set != 0;
    for (size_t pool = 0; pool < members.size(); ++pool) {
      const int used = std::popcount(set & members[pool]);
      if (used > tables.sharers[pool]) may_grow = false;
      if (used < tables.sharers[pool] && tables.sharers[pool] > 1) is_whole = false;
    }
    may_grow_.push_back(may_grow);
    is_whole_.push_back(may_grow && is_whole);
  }
}

void SubsetSearch::Run(double longest_seconds, int most_devices) {
  longest_seconds_ = longest_seconds;
  ends_.clear();
  std::ranges::fill(reached_, 0);
  for (int device = 0; device < num_devices_; ++device)
    first_layers_[device] = FirstLayers(tables_, device, longest_seconds);
  // Numerically, a set comes after all of its subsets.
  for (uint32_t set = 1; set < may_grow_.size(); ++set) {
    if (!may_grow_[set] || std::popcount(set) > most_devices) continue;
    for (int device = 0; device < num_devices_; ++device) {
      const uint32_t bit = uint32_t{1} << device;
      if ((set & bit) == 0) continue;
      if (set == bit) {
        Begin(device);
      } else {
        Extend(set ^ bit, device);
      }
    }
    if (is_whole_[set]) Collect(set);
  }
}

void SubsetSearch::Begin(int device) {
  const uint32_t set = uint32_t{1} << device;
  double* row = Row(set, device);
  std::fill(row, row + row_size_, kNever);
  const double enter = tables_.enter_seconds[device];
  if (enter == kNever) return;
  for (int64_t end = 1; end <= tables_.num_layers; ++end) {
    if (!StageFits(tables_, {device, 0, end}, longest_seconds_)) continue;
    row[end] = enter + tables_.costs[device].Of(0, end);
    reached_[set * num_devices_ + device] = 1;
  }
}

void SubsetSearch::Extend(uint32_t before, int device) {
  const uint32_t set = before | uint32_t{1} << device;
  double* row = Row(set, device);
  std::fill(row, row + row_size_, kNever);
  std::ranges::fill(arrived_, kNever);
  bool any = false;
  const int64_t layers = tables_.num_layers;
  for (int last = 0; last < num_devices_; ++last) {
    if ((before >> last & 1) == 0 || !reached_[before * num_devices_ + last]) continue;
    if (!HopAllowed(last, device) || tables_.Hop(last, device) == kNever) continue;
    any = true;
    const double hop = tables_.Hop(last, device);
    const double* from = Row(before, last);
    for (int64_t i = 1; i < layers; ++i) {
      const double seconds = from[i] + hop;
      arrived_[i] = seconds < arrived_[i] ? seconds : arrived_[i];
    }
  }
  if (!any) return;
  const StageCosts& costs = tables_.costs[device];
  for (int64_t i = 1; i < layers; ++i) arrived_[i] -= costs.before[i];
  // The window holds the beginnings that may still be the best, cheapest first.
  size_t head = 0, size = 0;
  bool reached = false;
  for (int64_t end = 2; end < layers; ++end) {
    const int64_t newest = end - 1;
    while (size > head && arrived_[window_[size - 1]] > arrived_[newest]) --size;
    window_[size++] = newest;
    while (head < size && window_[head] < first_layers_[device][end]) ++head;
    if (head == size || arrived_[window_[head]] == kNever) continue;
    row[end] = arrived_[window_[head]] + costs.before[end] + costs.stage;
    reached = true;
  }
  const auto last_begin = arrived_.begin() + first_layers_[device][layers];
  const auto best = std::min_element(last_begin, arrived_.begin() + layers);
  if (best != arrived_.begin() + layers && *best != kNever) {
    row[layers] = *best + costs.before[layers] + costs.stage + costs.head;
    reached = true;
  }
  reached_[set * num_devices_ + device] = reached;
}

void SubsetSearch::Collect(uint32_t devices) {
  for (int last = 0; last < num_devices_; ++last) {
    if ((devices >> last & 1) == 0 || !reached_[devices * num_devices_ + last]) continue;
    const double seconds = Row(devices, last)[tables_.num_layers] + tables_.leave_seconds[last];
    if (seconds < kNever) ends_.push_back({devices, last, seconds});
  }
}

std::vector<Slice> SubsetSearch::Trace(const End& end) const {
  std::vector<Slice> slices;
  uint32_t set = end.devices;
  int device = end.last;
  int64_t layer = tables_.num_layers;
  while (std::popcount(set) > 1) {
    const uint32_t before = set ^ (uint32_t{1} << device);
    const StageCosts& costs = tables_.costs[device];
    double best = kNever;
    int best_last = 0;
    int64_t best_first = 0;
    for (int64_t first = first_layers_[device][layer]; first < layer; ++first) {
      for (int last = 0; last < num_devices_; ++last) {
        if ((before >> last & 1) == 0 || !reached_[before * num_devices_ + last]) continue;
        if (!HopAllowed(last, device)) continue;
        const double seconds =
            Row(before, last)[first] + tables_.Hop(last, device) - costs.before[first];
        if (!(seconds < best)) continue;
        best = seconds;
        best_last = last;
        best_first = first;
      }
    }
    slices.push_back({device, best_first, layer});
    layer = best_first;
    device = best_last;
    set = before;
  }
  slices.push_back({device, 0, layer});
  std::ranges::reverse(slices);
  return slices;
}

}  // namespace potluck::partition
