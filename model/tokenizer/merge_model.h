// The merging of one piece of text: from its smallest parts upward, best pair first.
//
// A *symbol* is a string that is a token, or a part or result of a merge. A piece starts as single
// bytes (byte-level BPE) or characters; the best neighbouring pair becomes one symbol, again and
// again, until no pair can merge. Best is: smallest rank (BPE) or highest score of the result
// (SentencePiece); ties go to the leftmost. What is then no token is spelled in byte tokens.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

// Thread-safe after construction.
class MergeModel {
 public:
  struct Options {
    bool by_score = false;       // SentencePiece: any pair may merge whose text is a token
    bool bytes = false;          // pieces start as bytes, else as UTF-8 characters
    bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges say
    bool whole_newline_runs = false;  // the same, only for pieces of line feeds
    bool fuse_unknown = false;        // neighbouring unknown characters give one unknown token
    std::string_view space;           // U+2581 where pieces hold it for a space, else empty
    std::optional<TokenId> unknown;  // for what has no token and no byte tokens; else it is dropped
    std::array<TokenId, 256> byte_tokens{};  // -1 where there is none
  };

  // `texts[id]` is what token `id` stands for in a piece, empty for tokens that text must never
  // become; `merges` are pairs in rank order, in the same spelling.
  MergeModel(const Options& options, const std::vector<std::string>& texts,
             const std::vector<float>& scores,
             const std::vector<std::pair<std::string, std::string>>& merges);

  // Working memory, reused from piece to piece.
  struct Scratch {
    struct Part {
      uint32_t begin, size_bytes;  // size 0: merged into the part before
      int32_t previous, next;      // -1: none
      int32_t symbol;              // -1: no merge knows it
    };
    struct Candidate {
      double cost;  // rank, or minus the score
      int32_t left, right;
      uint32_t size_bytes;  // of both together when this was noted
      int32_t symbol;       // the result
    };
    std::vector<Part> parts;
    std::vector<Candidate> heap;
  };

  // Appends the ids of `piece`, below 2 GiB of any bytes. Cost: O(n log n).
  void Encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& ids) const;

  // Every byte has a token, so that nothing is dropped or becomes an unknown token.
  bool has_all_bytes() const;

 private:
  struct Merge {
    int32_t rank, result;
  };

  int32_t Intern(std::string_view text);
  int32_t SymbolOf(std::string_view text) const;  // -1 where there is none
  void EncodeWord(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const;
  void Start(std::string_view word, Scratch& scratch) const;
  void NoteCandidate(std::string_view word, int32_t left, int32_t right, Scratch& scratch) const;
  void AppendIds(std::string_view text, int32_t symbol, size_t first,
                 std::vector<TokenId>& ids) const;

  Options options_;
  std::deque<std::string> symbol_texts_;
  absl::flat_hash_map<absl::string_view, int32_t> symbols_;
  std::vector<TokenId> tokens_;  // by symbol; -1: not a token
  std::vector<float> scores_;    // by symbol
  std::array<int32_t, 256> byte_symbols_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by left << 32 | right
  size_t longest_symbol_bytes_ = 0;
  bool spaces_begin_words_ = false;  // no symbol has a space after something else
};

}  // namespace potluck::model
