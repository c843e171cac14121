#include "coordinator/scheduler/ahead_replay.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace potluck::coordinator {

AheadReplay::AheadReplay(model::InstanceId instance, const model::Epoch& epoch,
                         std::vector<int32_t> computing_stages, std::vector<Item> items)
    : instance_(instance),
      epoch_(epoch),
      computing_stages_(std::move(computing_stages)),
      items_(std::make_move_iterator(items.begin()), std::make_move_iterator(items.end())),
      position_(items_.empty() ? 0 : items_.front().begin) {}

std::optional<wire::StageFrame> AheadReplay::ComposeNext(int64_t max_tokens,
                                                         int64_t max_in_flight) {
  if (items_.empty() || in_flight_ >= max_in_flight) return std::nullopt;
  Item& item = items_.front();
  wire::StageFrame frame;
  frame.step.instance = instance_;
  frame.step.epoch = epoch_;
  frame.step.number = next_number_++;
  frame.replaying = computing_stages_;
  if (position_ == item.begin) {
    frame.commands.push_back(wire::BeginCommand{
        .start = item.start, .fork_from = item.fork_from, .fork_length = item.begin});
  }
  const auto end = static_cast<int32_t>(
      std::min(std::ssize(item.tokens), position_ + std::max<int64_t>(1, max_tokens)));
  for (int32_t i = position_; i < end; ++i) {
    frame.step.tokens.push_back(
        {.sequence = item.start.sequence,
         .id = item.tokens[i],
         .position = i,
         .parent = i == position_ ? model::kCommittedEnd : i - position_ - 1,
         .kind = i < item.start.prompt_length ? model::TokenKind::kPrompt
                                              : model::TokenKind::kGenerated});
  }
  num_tokens_ += end - position_;
  position_ = end;
  if (position_ == std::ssize(item.tokens)) {
    items_.pop_front();
    if (!items_.empty()) position_ = items_.front().begin;
  }
  ++in_flight_;
  return frame;
}

absl::Status AheadReplay::OnResult(const wire::StepResult& result) {
  if (!result.status.ok()) return result.status;
  if (in_flight_ == 0 || result.number != next_number_ - in_flight_ || !result.tokens.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the last stage answered step ", result.number, " of a replay out of turn"));
  }
  --in_flight_;
  return absl::OkStatus();
}

}  // namespace potluck::coordinator
