// Finds the KV blocks of prefixes that were computed before, within a conversation and between
// them.
//
// A tree of full blocks: a node is one block of 32 tokens after the node of the block before it.
// Its key holds the tokens themselves, so a hit is exact and nobody can craft a collision; the
// root's key covers what else the numbers depend on (adapter, weight bits).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/container/flat_hash_map.h"
#include "kernels/shapes.h"
#include "model/kv/block_pool.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

// At most two attention kinds: full and window.
inline constexpr int kMaxAttentionKinds = 2;

// Thread-compatible.
class PrefixIndex {
 public:
  struct Node {
    PrefixNodeId id = 0;
    // The block that holds it, by kind; kReleasedBlock where there is none.
    std::array<BlockId, kMaxAttentionKinds> blocks = {kReleasedBlock, kReleasedBlock};
  };

  // `num_blocks`: of all kinds together. A node holds one of them at least, so that many nodes
  // never make the index grow.
  explicit PrefixIndex(int64_t num_blocks);

  // The parent of first blocks. Two sequences share only under the same root.
  static PrefixNodeId Root(uint16_t adapter_slot) { return -1 - PrefixNodeId{adapter_slot}; }

  // Null where it is not known. Exactly 32 tokens. Valid until the next change.
  Node* Find(PrefixNodeId parent, std::span<const TokenId> tokens);
  // Finds it or makes it, without blocks.
  Node* Insert(PrefixNodeId parent, std::span<const TokenId> tokens);
  // Says that `node` has lost its block of that kind. A node without blocks is forgotten.
  void RemoveBlock(PrefixNodeId node, int kind);

  size_t size() const { return nodes_.size(); }

 private:
  struct Key {
    PrefixNodeId parent;
    std::array<TokenId, kernels::kKvBlockPositions> tokens;
    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.parent, key.tokens);
    }
  };
  static Key MakeKey(PrefixNodeId parent, std::span<const TokenId> tokens);

  absl::flat_hash_map<Key, Node> nodes_;
  absl::flat_hash_map<PrefixNodeId, Key> key_of_;
  PrefixNodeId next_id_ = 1;
};

}  // namespace potluck::model
