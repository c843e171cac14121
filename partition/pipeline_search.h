// The best pipeline for a wish on a set of devices: exact up to kMostExactDevices devices, a
// heuristic beyond.
//
// The heuristic takes the best of three: each device alone; the order search (order_search.h) over
// all devices; the exact search over as many devices as it can take, those that rank highest
// (device_ranking.h), and then over those of the best pipeline known together with the others, some
// at a time, as long as that helps.
#pragma once

#include <vector>

#include "partition/cost_model.h"

namespace potluck::partition {

inline constexpr int kMostExactDevices = 10;

struct PipelineChoice {
  std::vector<Slice> slices;  // empty: nothing fits
  double price = kNever;      // CostModel::Price
  bool exact = true;
  // By device number: a good pipeline with that device in it, where there is one (with one step in
  // flight the best, otherwise perhaps not).
  std::vector<std::vector<Slice>> with_device;
};

struct SearchOptions {
  // Use as many devices as can hold a layer; among those pipelines, the cheapest.
  bool spread = false;
  // Whether anything fits is all that is asked: the first pipeline found will do.
  bool any = false;
  // Up to so many devices the search is exact; its time and memory double with each.
  int most_exact_devices = kMostExactDevices;
};

PipelineChoice FindPipeline(const CostModel& model, const SearchOptions& options);

}  // namespace potluck::partition
