#include "model/kv/prefix_index.h"

#include <algorithm>

#include "common/check.h"

namespace potluck::model {

PrefixIndex::PrefixIndex(int64_t num_blocks) {
  // Twice as many: the tables grow, too, where many erased entries are left in them.
  nodes_.reserve(2 * num_blocks);
  key_of_.reserve(2 * num_blocks);
}

PrefixIndex::Key PrefixIndex::MakeKey(PrefixNodeId parent, std::span<const TokenId> tokens) {
  POTLUCK_CHECK(tokens.size() == kernels::kKvBlockPositions);
  Key key{.parent = parent, .tokens = {}};
  std::copy(tokens.begin(), tokens.end(), key.tokens.begin());
  return key;
}

PrefixIndex::Node* PrefixIndex::Find(PrefixNodeId parent, std::span<const TokenId> tokens) {
  const auto found = nodes_.find(MakeKey(parent, tokens));
  return found == nodes_.end() ? nullptr : &found->second;
}

PrefixIndex::Node* PrefixIndex::Insert(PrefixNodeId parent, std::span<const TokenId> tokens) {
  const auto [place, is_new] = nodes_.try_emplace(MakeKey(parent, tokens));
  if (is_new) {
    place->second.id = next_id_++;
    key_of_.emplace(place->second.id, place->first);
  }
  return &place->second;
}

void PrefixIndex::RemoveBlock(PrefixNodeId node, int kind) {
  const auto key = key_of_.find(node);
  POTLUCK_CHECK(key != key_of_.end());
  const auto found = nodes_.find(key->second);
  found->second.blocks[kind] = kReleasedBlock;
  if (std::ranges::all_of(found->second.blocks,
                          [](BlockId block) { return block == kReleasedBlock; })) {
    nodes_.erase(found);
    key_of_.erase(key);
  }
}

}  // namespace potluck::model
