#include "model/kv/block_pool.h"

#include "common/check.h"

namespace potluck::model {

BlockPool::BlockPool(int32_t num_blocks) : blocks_(num_blocks) {
  for (BlockId block = 0; block < num_blocks; ++block) {
    blocks_[block].place = free_.insert(free_.end(), block);
  }
}

std::optional<BlockPool::Taken> BlockPool::Take() {
  const std::list<BlockId>& from = free_.empty() ? kept_ : free_;
  if (from.empty()) return std::nullopt;
  const BlockId block = from.front();
  const PrefixNodeId evicted = blocks_[block].prefix;
  AddUser(block);
  blocks_[block].prefix = 0;
  return Taken{block, evicted};
}

void BlockPool::AddUser(BlockId block) {
  Block& used = blocks_[block];
  if (used.users++ == 0) {
    spare_.splice(spare_.end(), used.prefix != 0 ? kept_ : free_, used.place);
    ++num_used_;
  }
}

void BlockPool::RemoveUser(BlockId block) {
  Block& used = blocks_[block];
  POTLUCK_CHECK(used.users > 0);
  if (--used.users > 0) return;
  --num_used_;
  std::list<BlockId>& to = used.prefix != 0 ? kept_ : free_;
  to.splice(to.end(), spare_, used.place);
}

void BlockPool::SetPrefix(BlockId block, PrefixNodeId node) {
  Block& changed = blocks_[block];
  if (changed.users == 0 && (changed.prefix == 0) != (node == 0)) {
    std::list<BlockId>& from = changed.prefix != 0 ? kept_ : free_;
    std::list<BlockId>& to = node != 0 ? kept_ : free_;
    to.splice(to.end(), from, changed.place);
  }
  changed.prefix = node;
}

}  // namespace potluck::model
