#include "partition/manual_split.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "partition/amounts.h"

namespace potluck::partition {
namespace {

// The devices that a name means: those of one worker, or one device.
std::vector<int> DevicesCalled(const CostModel& model, const std::string& name) {
  constexpr std::string DeviceProfile::*kKeys[] = {&DeviceProfile::id, &DeviceProfile::worker_id,
                                                   &DeviceProfile::name};
  for (const auto key : kKeys) {
    std::vector<int> found;
    for (int number = 0; number < model.num_devices(); ++number)
      if (model.device(number).*key == name) found.push_back(number);
    if (!found.empty()) return found;
  }
  return {};
}

// The fastest of some devices for layers [first, end).
int Fastest(const CostModel& model, const std::vector<int>& devices, int64_t first, int64_t end) {
  return *std::ranges::min_element(devices, {}, [&](int number) {
    return model.CostsOf(number, model.Decode(1), 1, false).Of(first, end);
  });
}

std::string WhyNot(const CostModel& model, const std::vector<Slice>& slices) {
  const std::vector<int> sharers = model.SharersOf(slices);
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& slice = slices[i];
    const int64_t need = model.memory().TotalOf(slice.first, slice.end);
    const int64_t capacity = model.Capacity(slice.device, sharers[i]);
    if (need > capacity) {
      return absl::StrCat(model.device(slice.device).id, " may give ", Bytes(capacity),
                          " (80% of what is free, less what other models hold), and ",
                          Layers(slice.first, slice.end - 1), " need ", Bytes(need));
    }
    if (i > 0 && !model.Hop(slices[i - 1].device, slice.device).reachable) {
      return absl::StrCat("there is no way from ", model.device(slices[i - 1].device).id, " to ",
                          model.device(slice.device).id);
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<ManualSplit> MakeManualSplit(const CostModel& model) {
  POTLUCK_ASSIGN_OR_RETURN(const LayerWishes wishes,
                           OrderLayerWishes(model.wish().layers, model.num_layers()));
  ManualSplit split;
  std::vector<Slice> slices;
  std::set<int> used;
  for (const LayerWish& wish : wishes) {
    const std::vector<int> devices = DevicesCalled(model, wish.name);
    if (devices.empty()) {
      split.why_not =
          absl::StrCat("no device called ", Printable(wish.name),
                       " may have layers now (if it is here, it is left out, and why is told)");
      return split;
    }
    for (const int number : devices) {
      if (model.device(number).worker_id == model.device(devices[0]).worker_id) continue;
      split.why_not = absl::StrCat("more than one worker is called ", Printable(wish.name),
                                   ": name them by their ids");
      return split;
    }
    const int device = Fastest(model, devices, wish.first, wish.last + 1);
    if (!used.insert(device).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("layers are wished for twice on device ", model.device(device).id,
                       " under different names: a device holds one contiguous range of them"));
    }
    slices.push_back({device, wish.first, wish.last + 1});
  }
  split.why_not = WhyNot(model, slices);
  if (split.why_not.empty()) split.slices = std::move(slices);
  return split;
}

}  // namespace potluck::partition
