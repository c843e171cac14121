// Which workers keep copies of an instance's layers for the case that a stage is lost, and what has
// become of those copies: they are asked for once, looked after now and then (a disk may have had
// to give them up), and tried again after a while where they could not be kept.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "partition/plan.h"
#include "wire/messages.h"

namespace potluck::coordinator {

struct LayersAt {
  wire::WorkerId worker;
  int64_t first_layer = 0, last_layer = 0;  // both are its own

  auto operator<=>(const LayersAt&) const = default;
};

class StandbyCopies {
 public:
  static constexpr absl::Duration kLookAfter = absl::Minutes(10);
  static constexpr absl::Duration kTryAgain = absl::Minutes(1);

  // Which of these, all that a plan wants, have to be asked for now. Others are forgotten, but not
  // yet what has failed.
  std::vector<LayersAt> Want(const std::vector<LayersAt>& copies, absl::Duration now);
  // Whether that is news.
  bool OnEnded(const LayersAt& copy, const absl::Status& status, absl::Duration now);
  // A new process may have another disk.
  void Forget(const wire::WorkerId& worker);
  // Asks for all of them again.
  void LookAfterAll();

  // For the planner.
  std::vector<partition::StandbyCopy> Known(absl::Duration now) const;

 private:
  struct Copy {
    partition::CopyState state = partition::CopyState::kComing;
    std::optional<absl::Duration> next;  // when it is asked for again; none: at once
  };
  std::map<LayersAt, Copy> copies_;
};

}  // namespace potluck::coordinator
