#include "coordinator/instance/standby_copies.h"

#include <algorithm>
#include <utility>

namespace potluck::coordinator {

using partition::CopyState;

std::vector<LayersAt> StandbyCopies::Want(const std::vector<LayersAt>& copies, absl::Duration now) {
  std::erase_if(copies_, [&](const auto& known) {
    const bool failed_lately = known.second.state == CopyState::kFailed && known.second.next > now;
    return !failed_lately && std::ranges::count(copies, known.first) == 0;
  });
  std::vector<LayersAt> due;
  for (const LayersAt& wanted : copies) {
    Copy& copy = copies_[wanted];
    if (copy.next > now) continue;
    if (copy.state == CopyState::kFailed) copy.state = CopyState::kComing;
    copy.next = now + kLookAfter;
    due.push_back(wanted);
  }
  return due;
}

bool StandbyCopies::OnEnded(const LayersAt& copy, const absl::Status& status, absl::Duration now) {
  const auto found = copies_.find(copy);
  if (found == copies_.end()) return false;
  const CopyState state = status.ok() ? CopyState::kOnDisk : CopyState::kFailed;
  found->second.next = now + (status.ok() ? kLookAfter : kTryAgain);
  return std::exchange(found->second.state, state) != state;
}

void StandbyCopies::Forget(const wire::WorkerId& worker) {
  std::erase_if(copies_, [&](const auto& copy) { return copy.first.worker == worker; });
}

void StandbyCopies::LookAfterAll() {
  for (auto& [layers, copy] : copies_) copy.next.reset();
}

std::vector<partition::StandbyCopy> StandbyCopies::Known(absl::Duration now) const {
  std::vector<partition::StandbyCopy> known;
  for (const auto& [layers, copy] : copies_) {
    if (copy.state == CopyState::kFailed && !(copy.next > now)) continue;
    known.push_back({layers.worker, layers.first_layer, layers.last_layer + 1, copy.state});
  }
  return known;
}

}  // namespace potluck::coordinator
