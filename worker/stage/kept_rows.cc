#include "worker/stage/kept_rows.h"

#include <algorithm>

namespace potluck::worker {
namespace {

// A sequence that no step has written to for so many is at rest.
constexpr int64_t kRestingSteps = 64;

}  // namespace

KeptRows::KeptRows(int64_t width, int64_t most_bytes)
    : width_(width),
      most_blocks_(most_bytes / (width * kBlockPositions * static_cast<int64_t>(sizeof(float)))) {}

int32_t KeptRows::Length(model::SequenceId sequence) const {
  const auto found = sequences_.find(sequence);
  return found == sequences_.end() ? 0 : found->second.length;
}

void KeptRows::Keep(const model::Step& step, std::span<const float> rows) {
  if (most_blocks_ == 0) return;
  ++steps_;
  for (size_t i = 0; i < step.tokens.size(); ++i) {
    const model::StepToken& token = step.tokens[i];
    if (token.kind == model::TokenKind::kDraft) continue;
    Rows& of = sequences_[token.sequence];
    of.last_step = steps_;
    if (token.position == of.length)
      KeepRow(of, rows.subspan(i * static_cast<size_t>(width_), static_cast<size_t>(width_)));
  }
}

void KeptRows::KeepRow(Rows& rows, std::span<const float> row) {
  const int32_t offset = rows.length % kBlockPositions;
  if (offset == 0) {
    std::shared_ptr<Block> block = NewBlock();
    if (block == nullptr) return;
    rows.blocks.push_back(std::move(block));
  } else if (rows.blocks.back().use_count() > 1) {  // cut within a block that others share
    std::shared_ptr<Block> block = NewBlock();
    if (block == nullptr) return;
    block->rows = rows.blocks.back()->rows;
    rows.blocks.back() = std::move(block);
  }
  std::ranges::copy(row, rows.blocks.back()->rows.begin() + offset * width_);
  ++rows.length;
}

std::shared_ptr<KeptRows::Block> KeptRows::NewBlock() {
  if (num_blocks() >= most_blocks_ && !MakeRoom()) return nullptr;
  auto block = std::make_shared<Block>();
  block->counted = blocks_;
  block->rows.resize(static_cast<size_t>(kBlockPositions * width_));
  return block;
}

// Those at rest give theirs back, the longest first at rest.
bool KeptRows::MakeRoom() {
  while (num_blocks() >= most_blocks_) {
    const auto oldest = std::ranges::min_element(
        sequences_, {}, [](const auto& entry) { return entry.second.last_step; });
    if (oldest == sequences_.end() || oldest->second.last_step > steps_ - kRestingSteps)
      return false;
    sequences_.erase(oldest);
  }
  return true;
}

bool KeptRows::Read(model::SequenceId sequence, int32_t position, std::span<float> row) const {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end() || position < 0 || position >= found->second.length) return false;
  const float* from = found->second.blocks[position / kBlockPositions]->rows.data() +
                      (position % kBlockPositions) * width_;
  std::copy_n(from, width_, row.begin());
  return true;
}

void KeptRows::Fork(model::SequenceId from, model::SequenceId to, int32_t length) {
  const auto source = sequences_.find(from);
  if (source == sequences_.end()) return;
  const int32_t blocks = std::min(length, source->second.length) / kBlockPositions;
  const Rows rows{.blocks = {source->second.blocks.begin(), source->second.blocks.begin() + blocks},
                  .length = blocks * kBlockPositions,
                  .last_step = steps_};
  sequences_.insert_or_assign(to, rows);
}

void KeptRows::Trim(model::SequenceId sequence, int32_t length) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end() || found->second.length <= length) return;
  found->second.length = length;
  found->second.blocks.resize((length + kBlockPositions - 1) / kBlockPositions);
}

}  // namespace potluck::worker
