// How many KV blocks the sequences of an instance take on each of its stages: what the stages'
// pools do (model/kv/block_pool.h), done again where steps are composed, so that no stage is ever
// asked for a block that it lacks.
//
// All stages get the same commands in the same order, so one ledger stands for all of them.
#pragma once

#include <cstdint>
#include <vector>

#include "common/check.h"
#include "kernels/shapes.h"

namespace potluck::coordinator {

inline constexpr int32_t kBlockPositions = kernels::kKvBlockPositions;

inline int32_t BlocksFor(int64_t positions) {
  return static_cast<int32_t>((positions + kBlockPositions - 1) / kBlockPositions);
}

// Thread-compatible.
class BlockLedger {
 public:
  using Block = int32_t;

  explicit BlockLedger(int32_t num_blocks = 0) : users_(num_blocks, 0) {
    for (Block block = num_blocks - 1; block >= 0; --block) free_.push_back(block);
  }

  int32_t num_blocks() const { return static_cast<int32_t>(users_.size()); }
  int32_t num_free() const { return static_cast<int32_t>(free_.size()); }
  bool shared(Block block) const { return users_[block] > 1; }

  // Gives the table room for `positions`. The caller has seen that enough blocks are free.
  void Grow(std::vector<Block>& table, int64_t positions) {
    while (static_cast<int32_t>(table.size()) < BlocksFor(positions)) {
      POTLUCK_CHECK(!free_.empty());
      table.push_back(free_.back());
      free_.pop_back();
      users_[table.back()] = 1;
    }
  }
  // An empty table gets the first `count` blocks of another.
  void Share(const std::vector<Block>& from, int32_t count, std::vector<Block>& table) {
    table.assign(from.begin(), from.begin() + count);
    for (const Block block : table) ++users_[block];
  }
  // Keeps the first `count` blocks.
  void Cut(std::vector<Block>& table, int32_t count) {
    while (static_cast<int32_t>(table.size()) > count) {
      if (--users_[table.back()] == 0) free_.push_back(table.back());
      table.pop_back();
    }
  }

 private:
  std::vector<int32_t> users_;  // by block
  std::vector<Block> free_;
};

}  // namespace potluck::coordinator
