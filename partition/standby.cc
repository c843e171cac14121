#include "partition/standby.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partition/amounts.h"

namespace potluck::partition {
namespace {

class StandbyChooser {
 public:
  StandbyChooser(const CostModel& model, std::span<const Slice> slices)
      : model_(model), slices_(slices), pool_uses_(model.num_pools(), 0) {
    for (int number = 0; number < model.num_devices(); ++number)
      free_disk_[model.device(number).worker_id] = model.device(number).free_disk_bytes;
    for (const Slice& slice : slices) {
      held_bytes_[slice.device] = model.memory().TotalOf(slice.first, slice.end);
      ++pool_uses_[model.pool(slice.device)];
    }
    for (const StandbyCopy& copy : model.wish().standing_by) {
      if (copy.state == CopyState::kFailed) continue;
      present_.push_back({copy.worker_id, copy.first, copy.end});
      if (copy.state == CopyState::kOnDisk) on_disk_.push_back(present_.back());
    }
  }

  std::vector<Standby> ChooseFor(const Slice& slice) {
    const int64_t weight_bytes = model_.memory().Of(slice.first, slice.end).weights;
    std::vector<Candidate> candidates;
    for (int number = 0; number < model_.num_devices(); ++number) {
      const DeviceProfile& device = model_.device(number);
      if (device.worker_id == model_.device(slice.device).worker_id) continue;
      const bool cached = AreAllIn(model_.wish().cached, device.worker_id, slice);
      if (!cached && HasFailed(device.worker_id, slice)) continue;
      const bool present = AreAllIn(present_, device.worker_id, slice);
      if (!cached && !present && free_disk_[device.worker_id] < weight_bytes) continue;
      const double seconds =
          model_.CostsOf(number, model_.Decode(1), 1, false).Of(slice.first, slice.end);
      candidates.push_back({.not_cached = !cached,
                            .same_host = device.host_id == model_.device(slice.device).host_id,
                            .no_memory = !HasRoom(number, slice),
                            .not_present = !present,
                            .on_disk = cached || AreAllIn(on_disk_, device.worker_id, slice),
                            .serves = held_bytes_.contains(number),
                            .seconds = seconds,
                            .number = number});
    }
    std::ranges::sort(candidates, {}, [](const Candidate& c) {
      return std::tuple(c.not_cached, c.same_host, c.no_memory, c.not_present, c.serves, c.seconds,
                        c.number);
    });
    std::vector<Standby> chosen;
    std::set<std::string> workers;
    for (const Candidate& candidate : candidates) {
      if (static_cast<int>(chosen.size()) + 1 >= model_.wish().copies) break;
      const DeviceProfile& device = model_.device(candidate.number);
      if (!workers.insert(device.worker_id).second) continue;  // one disk
      chosen.push_back({.device_id = device.id,
                        .worker_id = device.worker_id,
                        .name = device.name,
                        .fits_in_memory = !candidate.no_memory,
                        .on_disk = candidate.on_disk});
      if (candidate.not_cached && candidate.not_present)
        free_disk_[device.worker_id] -= weight_bytes;
    }
    return chosen;
  }

  // For people: ""; ", and NAME could not keep them".
  std::string WhoFailedAt(const Slice& slice) const {
    std::set<std::string> names;
    for (int number = 0; number < model_.num_devices(); ++number) {
      const DeviceProfile& device = model_.device(number);
      if (HasFailed(device.worker_id, slice)) names.insert(device.name);
    }
    if (names.empty()) return "";
    return absl::StrCat(", and ", absl::StrJoin(names, ", "), " could not keep them just now");
  }

 private:
  struct Candidate {
    bool not_cached, same_host, no_memory, not_present, on_disk, serves;
    double seconds;
    int number;
  };

  static bool AreAllIn(const std::vector<CachedLayers>& kept, const std::string& worker_id,
                       const Slice& slice) {
    for (int64_t layer = slice.first; layer < slice.end; ++layer) {
      const bool found = std::ranges::any_of(kept, [&](const CachedLayers& some) {
        return some.worker_id == worker_id && some.first <= layer && layer < some.end;
      });
      if (!found) return false;
    }
    return true;
  }

  bool HasFailed(const std::string& worker_id, const Slice& slice) const {
    return std::ranges::any_of(model_.wish().standing_by, [&](const StandbyCopy& copy) {
      return copy.state == CopyState::kFailed && copy.worker_id == worker_id &&
             copy.first < slice.end && slice.first < copy.end;
    });
  }

  bool HasRoom(int number, const Slice& slice) const {
    const auto held = held_bytes_.find(number);
    const int sharers = pool_uses_[model_.pool(number)] + (held == held_bytes_.end() ? 1 : 0);
    const int64_t free_bytes =
        model_.Capacity(number, sharers) - (held == held_bytes_.end() ? 0 : held->second);
    return free_bytes >= model_.memory().TotalOf(slice.first, slice.end);
  }

  const CostModel& model_;
  const std::span<const Slice> slices_;
  std::vector<CachedLayers> present_, on_disk_;  // of standbys; the first may be on their way
  std::vector<int> pool_uses_;                   // devices of the pool that hold a stage
  std::map<int, int64_t> held_bytes_;            // of devices that hold a stage
  std::map<std::string, int64_t> free_disk_;     // by worker, less what was promised
};

}  // namespace

void ChooseStandbys(const CostModel& candidates, std::span<const Slice> slices,
                    std::vector<StagePlan>& stages, std::vector<std::string>& notes) {
  StandbyChooser chooser(candidates, slices);
  for (size_t i = 0; i < slices.size(); ++i) {
    StagePlan& stage = stages[i];
    stage.standby = chooser.ChooseFor(slices[i]);
    const int wanted = candidates.wish().copies - 1;
    if (static_cast<int>(stage.standby.size()) >= wanted) continue;
    notes.push_back(absl::StrCat(Layers(stage.first_layer, stage.last_layer), " of ", stage.name,
                                 " have ", stage.standby.size(), " of ", wanted,
                                 " standby copies: no other worker that may have layers has ",
                                 Bytes(stage.weight_bytes), " of free disk for them",
                                 chooser.WhoFailedAt(slices[i])));
  }
}

}  // namespace potluck::partition
