#include "model/grammar/token_trie.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace potluck::model {

TokenTrie::TokenTrie(std::shared_ptr<const Tokenizer> of) : tokenizer_(std::move(of)) {
  const Tokenizer& tokenizer = *tokenizer_;
  // What is longer is written in shorter tokens.
  constexpr size_t kMostBytes = std::numeric_limits<uint16_t>::max();
  std::vector<std::pair<std::string_view, TokenId>> tokens;
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.vocab_size()); ++id) {
    const std::string_view bytes = tokenizer.AnswerBytes(id);
    if (!bytes.empty() && bytes.size() <= kMostBytes && !tokenizer.IsEndOfGeneration(id))
      tokens.emplace_back(bytes, id);
  }
  std::ranges::sort(tokens);
  std::vector<uint32_t> path;  // nodes of the token before, from the root's child on
  std::string_view before;
  for (const auto& [bytes, id] : tokens) {
    const auto differ = std::ranges::mismatch(before, bytes);
    const auto shared = static_cast<size_t>(differ.in1 - before.begin());
    for (; path.size() > shared; path.pop_back())
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
    for (size_t i = shared; i < bytes.size(); ++i) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({.byte = static_cast<uint8_t>(bytes[i]),
                        .depth = static_cast<uint16_t>(i + 1),
                        .ids_end = static_cast<uint32_t>(ids_.size())});
    }
    ids_.push_back(id);
    nodes_.back().ids_end = static_cast<uint32_t>(ids_.size());
    max_depth_ = std::max(max_depth_, bytes.size());
    before = bytes;
  }
  for (const uint32_t node : path) nodes_[node].end = static_cast<uint32_t>(nodes_.size());
}

}  // namespace potluck::model
