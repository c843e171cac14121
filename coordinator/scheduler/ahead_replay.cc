#include "coordinator/scheduler/ahead_replay.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace potluck::coordinator {

AheadReplay::AheadReplay(model::InstanceId instance, const model::Epoch& epoch,
                         std::vector<int32_t> computing_stages, std::vector<Item> items)
    : instance_(instance), epoch_(epoch), computing_stages_(std::move(computing_stages)) {
  Add(std::move(items));
}

std::optional<wire::StageFrame> AheadReplay::ComposeNext(int64_t max_tokens,
                                                         int64_t max_in_flight) {
  if (items_.empty() || in_flight_ >= max_in_flight) return std::nullopt;
  Item& item = items_.front();
  wire::StageFrame frame;
  frame.step.instance = instance_;
  frame.step.epoch = epoch_;
  frame.step.number = next_number_++;
  frame.replaying = computing_stages_;
  if (position_ == item.begin && !item.begun) {
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
  sent_[item.start.sequence] = end;
  if (position_ == std::ssize(item.tokens)) {
    items_.pop_front();
    if (!items_.empty()) position_ = items_.front().begin;
  }
  ++in_flight_;
  return frame;
}

void AheadReplay::Add(std::vector<Item> items) {
  const bool idle = items_.empty();
  std::ranges::move(items, std::back_inserter(items_));
  if (idle && !items_.empty()) position_ = items_.front().begin;
}

std::optional<int32_t> AheadReplay::sent(model::SequenceId sequence) const {
  const auto found = sent_.find(sequence);
  return found == sent_.end() ? std::nullopt : std::optional(found->second);
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
