// The exact search: dynamic programming over the subsets of a few devices.
//
//   best(S, d, j) = min over i < j, e in S \ {d} of
//                     best(S \ {d}, e, i) + hop(e, d) + stage(d, i, j)
//
// is the cheapest pipeline of the devices S, the last of them d, for the layers before j. The time
// of a stage is a difference of sums over layers, and a stage that fits still fits with a layer
// less: so for each (S, d) the minimum over i is a sliding window's, and all of it takes
// O(2^n n (n + 1) L) steps.
//
// Source: Held & Karp 1962 for the subsets; the window is ours.
#pragma once

#include <cstdint>
#include <vector>

#include "partition/split_tables.h"

namespace potluck::partition {

// Thread-compatible.
class SubsetSearch {
 public:
  // A whole pipeline: its devices as bits, the last of them, its sum of seconds.
  struct End {
    uint32_t devices = 0;
    int last = 0;
    double seconds = kNever;
  };

  // The tables outlive the search. Memory: 8 * 2^n n (L + 1) bytes.
  explicit SubsetSearch(const SplitTables& tables);

  // Finds the cheapest pipeline for every set and last device, of stages that take at most
  // `longest_seconds` each. Only sets of at most `most_devices`, and only such that the tables were
  // made for: as many devices of each pool as its sharers (or fewer where that is one).
  void Run(double longest_seconds, int most_devices);
  const std::vector<End>& ends() const { return ends_; }
  std::vector<Slice> Trace(const End& end) const;

 private:
  double* Row(uint32_t devices, int last) {
    return &best_[(static_cast<size_t>(devices) * num_devices_ + last) * row_size_];
  }
  const double* Row(uint32_t devices, int last) const {
    return &best_[(static_cast<size_t>(devices) * num_devices_ + last) * row_size_];
  }
  bool HopAllowed(int from, int to) const { return tables_.Link(from, to) <= longest_seconds_; }
  void Begin(int device);
  void Extend(uint32_t before, int device);
  void Collect(uint32_t devices);

  const SplitTables& tables_;
  const int num_devices_;
  const size_t row_size_;
  std::vector<char> may_grow_, is_whole_;  // by set: no pool has too many; all have enough
  double longest_seconds_ = kNever;
  std::vector<std::vector<int64_t>> first_layers_;  // by device
  std::vector<double> best_;                        // (set, last device, layers done)
  std::vector<char> reached_;                       // (set, last device): some entry is finite
  std::vector<double> arrived_;                     // scratch: by layers done, before a device
  std::vector<int64_t> window_;                     // scratch
  std::vector<End> ends_;
};

}  // namespace potluck::partition
