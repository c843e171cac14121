// Splits that give one stream its next token as soon as the cheapest one does differ in all else:
// a prompt's chunks, and several streams' steps, go at the pace of the slowest stage.
#pragma once

#include <span>
#include <vector>

#include "partition/cost_model.h"

namespace potluck::partition {

// Both for steps of one stream.
//
// The same devices in the same order, with the layers divided so that the slowest stage or link is
// as fast as it can be at a price of at most `highest_price`; `slices` itself has such a price.
std::vector<Slice> EvenOut(const CostModel& model, std::vector<Slice> slices, double highest_price);
double SlowestSeconds(const CostModel& model, std::span<const Slice> slices);

}  // namespace potluck::partition
