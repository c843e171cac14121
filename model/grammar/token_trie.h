// A vocabulary's tokens by their bytes, so that what a grammar forbids early is forbidden for all
// tokens that go on from there at once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace potluck::model {

// Thread-safe: nothing changes.
class TokenTrie {
 public:
  // Control tokens and others without bytes in an answer are not in it.
  explicit TokenTrie(std::shared_ptr<const Tokenizer> tokenizer);

  // In pre-order: a node's descendants follow it.
  struct Node {
    uint8_t byte = 0;
    uint16_t depth = 0;    // the root's children have 1
    uint32_t end = 0;      // the node after the last descendant
    uint32_t ids_end = 0;  // the node's tokens end here, and begin where the one before's do
  };
  std::span<const Node> nodes() const { return nodes_; }
  std::span<const TokenId> IdsAt(size_t node) const {
    const size_t begin = node == 0 ? 0 : nodes_[node - 1].ids_end;
    return std::span(ids_).subspan(begin, nodes_[node].ids_end - begin);
  }

  std::string_view BytesOf(TokenId id) const { return tokenizer_->AnswerBytes(id); }
  std::span<const TokenId> end_of_generation() const { return tokenizer_->end_of_generation(); }
  size_t vocab_size() const { return tokenizer_->vocab_size(); }
  size_t max_depth() const { return max_depth_; }

 private:
  const std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<Node> nodes_;
  std::vector<TokenId> ids_;
  size_t max_depth_ = 0;
};

}  // namespace potluck::model
