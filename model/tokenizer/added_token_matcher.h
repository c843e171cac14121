// Cuts added tokens (control and user-defined ones) out of a text, before anything else looks at
// it. Which of two overlapping tokens wins differs between the two originals:
//   kLongestFirst      llama.cpp: the longest token takes all its places first, then the next.
//   kLeftmostLongest   Hugging Face: from left to right, the longest that starts at a place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

enum class MatchOrder { kLongestFirst, kLeftmostLongest };

// A part of a text: an added token, or text between two of them.
struct TextFragment {
  std::string_view text;
  TokenId id = -1;  // -1: text
};

// Bytes [begin, end) of a text in which control tokens may be recognised.
struct TrustedRange {
  size_t begin, end;
};

// Thread-safe after construction.
class AddedTokenMatcher {
 public:
  struct Token {
    TokenId id;
    std::string text;  // not empty
    bool control;      // only in trusted ranges
    bool lstrip, rstrip, single_word;
  };

  AddedTokenMatcher(std::vector<Token> tokens, MatchOrder order);

  bool empty() const { return tokens_.empty(); }

  // The parts of `text` in order, white space that tokens take along left out. `trusted` is sorted
  // and without overlaps. Cost: O(n * longest token), and with kLongestFirst O(n) more for each
  // different token that occurs.
  std::vector<TextFragment> Split(std::string_view text,
                                  const std::vector<TrustedRange>& trusted) const;

 private:
  struct Node {
    int32_t token = -1;  // index into tokens_
  };

  int32_t LongestAt(std::string_view text, size_t begin) const;
  bool Allowed(const Token& token, std::string_view text, size_t begin,
               const std::vector<TrustedRange>& trusted) const;
  std::vector<bool> Occurring(std::string_view text) const;
  std::vector<TextFragment> SplitLongestFirst(std::string_view text,
                                              const std::vector<TrustedRange>& trusted) const;
  std::vector<TextFragment> SplitLeftmost(std::string_view text,
                                          const std::vector<TrustedRange>& trusted) const;

  MatchOrder order_;
  std::vector<Token> tokens_;                        // longest first
  std::vector<Node> nodes_;                          // a trie over bytes; 0 is its root
  absl::flat_hash_map<uint64_t, int32_t> children_;  // node << 8 | byte
};

}  // namespace potluck::model
