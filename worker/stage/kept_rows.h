// The hidden rows that a stage has passed on, kept so that a stage that comes after it can be
// filled again without computing this one's part anew. Of each sequence the first positions
// without a gap; in blocks, which sequences with the same beginning share.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "model/step.h"

namespace potluck::worker {

// Thread-compatible.
class KeptRows {
 public:
  static constexpr int32_t kBlockPositions = 32;

  // Rows are `width` floats; all blocks together take at most `most_bytes`.
  KeptRows(int64_t width, int64_t most_bytes);
  KeptRows(const KeptRows&) = delete;
  KeptRows& operator=(const KeptRows&) = delete;

  // `rows` is (T, width), for the step's tokens in their order. Drafts are not kept, nor what comes
  // after a gap. Where room is short, sequences that have not been written to for a while lose
  // theirs.
  void Keep(const model::Step& step, std::span<const float> rows);
  // False where there is no such row.
  bool Read(model::SequenceId sequence, int32_t position, std::span<float> row) const;

  // A new sequence with the full blocks of another one's first `length` positions.
  void Fork(model::SequenceId from, model::SequenceId to, int32_t length);
  // At most so many positions stay. A sequence that is not here is none that has rows.
  void Trim(model::SequenceId sequence, int32_t length);
  void Free(model::SequenceId sequence) { sequences_.erase(sequence); }

  // Positions, from the first.
  int32_t Length(model::SequenceId sequence) const;
  int64_t num_blocks() const { return static_cast<int64_t>(blocks_.use_count()) - 1; }

 private:
  struct Block {
    std::shared_ptr<const int> counted;  // one use of blocks_ for each block
    std::vector<float> rows;
  };
  struct Rows {
    std::vector<std::shared_ptr<Block>> blocks;
    int32_t length = 0;
    int64_t last_step = 0;  // that wrote to it
  };

  void KeepRow(Rows& rows, std::span<const float> row);
  // Null where there is no room.
  std::shared_ptr<Block> NewBlock();
  bool MakeRoom();

  const int64_t width_;
  const int64_t most_blocks_;
  const std::shared_ptr<const int> blocks_ = std::make_shared<const int>();
  std::map<model::SequenceId, Rows> sequences_;
  int64_t steps_ = 0;
};

}  // namespace potluck::worker
