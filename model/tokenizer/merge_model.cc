#include "model/tokenizer/merge_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/text.h"

namespace potluck::model {
namespace {

uint64_t PairKey(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// Whether `text` has `space` directly after something else: "a_b" and "_a_", but not "__a".
bool HasInnerSpace(std::string_view text, std::string_view space) {
  size_t begin = 0;
  while (text.substr(begin, space.size()) == space) begin += space.size();
  return text.find(space, begin) != std::string_view::npos;
}

// std::push_heap keeps the largest on top: the worse one is the smaller.
bool Worse(const MergeModel::Scratch::Candidate& a, const MergeModel::Scratch::Candidate& b) {
  return a.cost != b.cost ? a.cost > b.cost : a.left > b.left;
}

}  // namespace

MergeModel::MergeModel(const Options& options, const std::vector<std::string>& texts,
                       const std::vector<float>& scores,
                       const std::vector<std::pair<std::string, std::string>>& merges)
    : options_(options) {
  for (size_t id = 0; id < texts.size(); ++id) {
    if (texts[id].empty()) continue;
    const int32_t symbol = Intern(texts[id]);
    if (tokens_[symbol] >= 0) continue;
    tokens_[symbol] = static_cast<TokenId>(id);
    const float score = id < scores.size() ? scores[id] : 0;
    scores_[symbol] = std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
  }
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const int32_t result = Intern(left + right);
    merges_.try_emplace(PairKey(Intern(left), Intern(right)),
                        Merge{static_cast<int32_t>(rank), result});
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_symbols_[byte] = SymbolOf(std::string_view(&c, 1));
  }
  spaces_begin_words_ = !options_.space.empty();
  for (const std::string& text : symbol_texts_) {
    longest_symbol_bytes_ = std::max(longest_symbol_bytes_, text.size());
    if (spaces_begin_words_ && HasInnerSpace(text, options_.space)) spaces_begin_words_ = false;
  }
}

int32_t MergeModel::Intern(std::string_view text) {
  if (const int32_t symbol = SymbolOf(text); symbol >= 0) return symbol;
  const auto symbol = static_cast<int32_t>(symbol_texts_.size());
  symbol_texts_.emplace_back(text);
  symbols_.emplace(ToAbsl(symbol_texts_.back()), symbol);
  tokens_.push_back(-1);
  scores_.push_back(0);
  return symbol;
}

int32_t MergeModel::SymbolOf(std::string_view text) const {
  const auto found = symbols_.find(ToAbsl(text));
  return found == symbols_.end() ? -1 : found->second;
}

void MergeModel::Encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& ids) const {
  if (!spaces_begin_words_) return EncodeWord(piece, scratch, ids);
  // No merge reaches across the start of a run of spaces, so cutting there changes nothing but the
  // time it takes.
  const std::string_view space = options_.space;
  while (!piece.empty()) {
    size_t end = 0;
    while (piece.substr(end, space.size()) == space) end += space.size();
    end = std::min(piece.find(space, end), piece.size());
    EncodeWord(piece.substr(0, end), scratch, ids);
    piece.remove_prefix(end);
  }
}

void MergeModel::EncodeWord(std::string_view word, Scratch& scratch,
                            std::vector<TokenId>& ids) const {
  const size_t first = ids.size();
  const bool whole =
      options_.ignore_merges ||
      (options_.whole_newline_runs && word.find_first_not_of('\n') == std::string_view::npos);
  if (whole) {
    const int32_t symbol = SymbolOf(word);
    if (symbol >= 0 && tokens_[symbol] >= 0) return ids.push_back(tokens_[symbol]);
  }
  Start(word, scratch);
  auto& parts = scratch.parts;
  auto& heap = scratch.heap;
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), Worse);
    const Scratch::Candidate best = heap.back();
    heap.pop_back();
    Scratch::Part& left = parts[best.left];
    Scratch::Part& right = parts[best.right];
    // One of the two has merged with another part since this was noted.
    if (left.size_bytes == 0 || right.size_bytes == 0 ||
        left.size_bytes + right.size_bytes != best.size_bytes) {
      continue;
    }
    left.size_bytes = best.size_bytes;
    left.symbol = best.symbol;
    left.next = right.next;
    right.size_bytes = 0;
    if (left.next >= 0) parts[left.next].previous = best.left;
    NoteCandidate(word, left.previous, best.left, scratch);
    NoteCandidate(word, best.left, left.next, scratch);
  }
  for (int32_t i = parts.empty() ? -1 : 0; i >= 0; i = parts[i].next) {
    AppendIds(word.substr(parts[i].begin, parts[i].size_bytes), parts[i].symbol, first, ids);
  }
}

void MergeModel::Start(std::string_view word, Scratch& scratch) const {
  auto& parts = scratch.parts;
  parts.clear();
  scratch.heap.clear();
  for (size_t begin = 0; begin < word.size();) {
    // A byte that is no UTF-8 is a part of its own.
    const int length = options_.bytes ? 1 : std::max(1, DecodeUtf8(word.substr(begin)));
    const int32_t symbol = length == 1 ? byte_symbols_[static_cast<unsigned char>(word[begin])]
                                       : SymbolOf(word.substr(begin, length));
    const auto index = static_cast<int32_t>(parts.size());
    parts.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(length), index - 1,
                     index + 1, symbol});
    begin += length;
  }
  if (!parts.empty()) parts.back().next = -1;
  for (int32_t i = 1; i < static_cast<int32_t>(parts.size()); ++i) {
    NoteCandidate(word, i - 1, i, scratch);
  }
}

void MergeModel::NoteCandidate(std::string_view word, int32_t left, int32_t right,
                               Scratch& scratch) const {
  if (left < 0 || right < 0) return;
  const Scratch::Part& a = scratch.parts[left];
  const Scratch::Part& b = scratch.parts[right];
  const uint32_t size_bytes = a.size_bytes + b.size_bytes;
  Scratch::Candidate candidate{0, left, right, size_bytes, -1};
  if (options_.by_score) {
    if (size_bytes > longest_symbol_bytes_) return;
    candidate.symbol = SymbolOf(word.substr(a.begin, size_bytes));
    if (candidate.symbol < 0) return;
    candidate.cost = -scores_[candidate.symbol];
  } else {
    if (a.symbol < 0 || b.symbol < 0) return;
    const auto merge = merges_.find(PairKey(a.symbol, b.symbol));
    if (merge == merges_.end()) return;
    candidate.symbol = merge->second.result;
    candidate.cost = merge->second.rank;
  }
  scratch.heap.push_back(candidate);
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), Worse);
}

bool MergeModel::has_all_bytes() const {
  return std::ranges::find(options_.byte_tokens, -1) == options_.byte_tokens.end();
}

void MergeModel::AppendIds(std::string_view text, int32_t symbol, size_t first,
                           std::vector<TokenId>& ids) const {
  if (symbol >= 0 && tokens_[symbol] >= 0) return ids.push_back(tokens_[symbol]);
  const auto byte_token = [&](char c) {
    return options_.byte_tokens[static_cast<unsigned char>(c)];
  };
  if (std::all_of(text.begin(), text.end(), [&](char c) { return byte_token(c) >= 0; })) {
    for (const char c : text) ids.push_back(byte_token(c));
  } else if (options_.unknown) {
    const bool fused =
        options_.fuse_unknown && ids.size() > first && ids.back() == *options_.unknown;
    if (!fused) ids.push_back(*options_.unknown);
  }
}

}  // namespace potluck::model
