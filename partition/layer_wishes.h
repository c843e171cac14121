// A person's own split: "desk=0-11,pi4=12-21". Layers count from 0; NAME=N is one layer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace potluck::partition {

struct LayerWish {
  std::string name;  // of a worker, or the id of a worker or device
  int64_t first = 0, last = 0;
  friend bool operator==(const LayerWish&, const LayerWish&) = default;
};
using LayerWishes = std::vector<LayerWish>;

// InvalidArgument for text of another form, for ranges that end before they begin and for a name
// that is given twice.
absl::StatusOr<LayerWishes> ParseLayerWishes(std::string_view text);

// Sorted by layer. InvalidArgument, naming the layer, unless every layer of `num_layers` is wished
// for exactly once.
absl::StatusOr<LayerWishes> OrderLayerWishes(LayerWishes wishes, int64_t num_layers);

}  // namespace potluck::partition
