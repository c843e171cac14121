// Which KV blocks of one attention kind are in use, by how many sequences, and which hold old
// prefixes that may be shared again. A block's number means the same 32 positions in the pools of
// all layers of the kind.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <vector>

namespace potluck::model {

using BlockId = int32_t;
inline constexpr BlockId kReleasedBlock = -1;

// Node of the prefix index that a block's content belongs to; 0: none.
using PrefixNodeId = int64_t;

// Thread-compatible.
class BlockPool {
 public:
  explicit BlockPool(int32_t num_blocks);

  struct Taken {
    BlockId block;
    // The prefix that lost this block because the space was needed; 0: none.
    PrefixNodeId evicted;
  };
  // A block for one user: a free one, else the one of the prefix that was unused longest. Nothing
  // when all are in use.
  std::optional<Taken> Take();

  void AddUser(BlockId block);
  // A block without users is free, or, where it holds a prefix, kept until its space is needed.
  void RemoveUser(BlockId block);

  // Says that the block holds the content of a prefix, or (0) no longer does.
  void SetPrefix(BlockId block, PrefixNodeId node);
  PrefixNodeId prefix(BlockId block) const { return blocks_[block].prefix; }

  // Whether its one user may write into it: nobody else reads it and no prefix needs it.
  bool Writable(BlockId block) const {
    return blocks_[block].users == 1 && blocks_[block].prefix == 0;
  }
  int32_t users(BlockId block) const { return blocks_[block].users; }

  int32_t num_blocks() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t num_used() const { return num_used_; }
  // Blocks that Take() could give now.
  int32_t num_available() const { return num_blocks() - num_used_; }

 private:
  struct Block {
    int32_t users = 0;
    PrefixNodeId prefix = 0;
    std::list<BlockId>::iterator place;  // in free_ or kept_, while it has no users
  };

  std::vector<Block> blocks_;
  std::list<BlockId> free_;
  std::list<BlockId> kept_;  // longest unused first
  std::list<BlockId>
      spare_;  // list nodes of blocks in use, so that taking and giving back do not allocate
  int32_t num_used_ = 0;
};

}  // namespace potluck::model
