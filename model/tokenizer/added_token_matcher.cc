#include "model/tokenizer/added_token_matcher.h"

#include <utf8proc.h>

#include <algorithm>

#include "common/text.h"

namespace potluck::model {
namespace {

bool IsWhiteSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool IsWordCharacter(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

// The character that starts at, or ends before, byte `at`; 0 where there is none.
char32_t CharacterAt(std::string_view text, size_t at) {
  char32_t c = 0;
  return DecodeUtf8(text.substr(at), &c) > 0 ? c : 0;
}
char32_t CharacterBefore(std::string_view text, size_t at) {
  for (size_t length = 1; length <= 4 && length <= at; ++length) {
    char32_t c = 0;
    if (DecodeUtf8(text.substr(at - length), &c) == static_cast<int>(length)) return c;
  }
  return 0;
}

// llama.cpp strips ASCII white space only.
bool IsStripped(char32_t c, MatchOrder order) {
  return order == MatchOrder::kLongestFirst ? c < 0x80 && IsWhiteSpace(c) : IsWhiteSpace(c);
}

size_t StripBefore(std::string_view text, size_t floor, size_t at, MatchOrder order) {
  while (at > floor) {
    const char32_t c = CharacterBefore(text, at);
    if (c == 0 || !IsStripped(c, order)) break;
    std::string bytes;
    AppendUtf8(c, bytes);
    if (at - floor < bytes.size()) break;
    at -= bytes.size();
  }
  return at;
}

size_t StripAfter(std::string_view text, size_t at, size_t ceiling, MatchOrder order) {
  while (at < ceiling) {
    char32_t c = 0;
    const int length = DecodeUtf8(text.substr(at, ceiling - at), &c);
    if (length == 0 || !IsStripped(c, order)) break;
    at += length;
  }
  return at;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<Token> tokens, MatchOrder order)
    : order_(order), tokens_(std::move(tokens)), nodes_(1) {
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const Token& a, const Token& b) { return a.text.size() > b.text.size(); });
  for (size_t i = 0; i < tokens_.size(); ++i) {
    uint64_t node = 0;
    for (const char c : tokens_[i].text) {
      const auto [child, added] = children_.try_emplace(node << 8 | static_cast<unsigned char>(c),
                                                        static_cast<int32_t>(nodes_.size()));
      if (added) nodes_.emplace_back();
      node = child->second;
    }
    if (nodes_[node].token < 0) nodes_[node].token = static_cast<int32_t>(i);
  }
}

std::vector<TextFragment> AddedTokenMatcher::Split(std::string_view text,
                                                   const std::vector<TrustedRange>& trusted) const {
  if (text.empty()) return {};
  if (tokens_.empty()) return {{text}};
  return order_ == MatchOrder::kLongestFirst ? SplitLongestFirst(text, trusted)
                                             : SplitLeftmost(text, trusted);
}

int32_t AddedTokenMatcher::LongestAt(std::string_view text, size_t begin) const {
  int32_t longest = -1;
  uint64_t node = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    const auto child = children_.find(node << 8 | static_cast<unsigned char>(text[i]));
    if (child == children_.end()) break;
    node = child->second;
    if (nodes_[node].token >= 0) longest = nodes_[node].token;
  }
  return longest;
}

bool AddedTokenMatcher::Allowed(const Token& token, std::string_view text, size_t begin,
                                const std::vector<TrustedRange>& trusted) const {
  const size_t end = begin + token.text.size();
  if (token.single_word && ((begin > 0 && IsWordCharacter(CharacterBefore(text, begin))) ||
                            (end < text.size() && IsWordCharacter(CharacterAt(text, end))))) {
    return false;
  }
  if (!token.control) return true;
  auto range = std::upper_bound(trusted.begin(), trusted.end(), begin,
                                [](size_t at, const TrustedRange& r) { return at < r.begin; });
  return range != trusted.begin() && end <= (--range)->end;
}

std::vector<bool> AddedTokenMatcher::Occurring(std::string_view text) const {
  std::vector<bool> occurring(tokens_.size());
  for (size_t begin = 0; begin < text.size(); ++begin) {
    uint64_t node = 0;
    for (size_t i = begin; i < text.size(); ++i) {
      const auto child = children_.find(node << 8 | static_cast<unsigned char>(text[i]));
      if (child == children_.end()) break;
      node = child->second;
      if (nodes_[node].token >= 0) occurring[nodes_[node].token] = true;
    }
  }
  return occurring;
}

std::vector<TextFragment> AddedTokenMatcher::SplitLongestFirst(
    std::string_view text, const std::vector<TrustedRange>& trusted) const {
  std::vector<TextFragment> fragments = {{text}};
  const std::vector<bool> occurring = Occurring(text);
  for (size_t t = 0; t < tokens_.size(); ++t) {
    if (!occurring[t]) continue;
    const Token& token = tokens_[t];
    std::vector<TextFragment> next;
    const auto keep = [&](size_t begin, size_t end) {
      if (begin < end) next.push_back({text.substr(begin, end - begin)});
    };
    for (const TextFragment& fragment : fragments) {
      if (fragment.id >= 0) {
        next.push_back(fragment);
        continue;
      }
      size_t begin = fragment.text.data() - text.data();
      const size_t end = begin + fragment.text.size();
      const std::string_view until_end = text.substr(0, end);
      size_t search = begin;
      for (;;) {
        const size_t match = until_end.find(token.text, search);
        if (match == std::string_view::npos) break;
        search = match + 1;
        if (!Allowed(token, text, match, trusted)) continue;
        keep(begin, token.lstrip ? StripBefore(text, begin, match, order_) : match);
        next.push_back({text.substr(match, token.text.size()), token.id});
        begin = match + token.text.size();
        if (token.rstrip) begin = StripAfter(text, begin, end, order_);
        search = begin;
      }
      keep(begin, end);
    }
    fragments = std::move(next);
  }
  return fragments;
}

std::vector<TextFragment> AddedTokenMatcher::SplitLeftmost(
    std::string_view text, const std::vector<TrustedRange>& trusted) const {
  std::vector<TextFragment> fragments;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const int32_t longest = LongestAt(text, at);
    if (longest < 0) {
      ++at;
      continue;
    }
    const Token& token = tokens_[longest];
    const size_t end = at + token.text.size();
    // A spelling that is not to be recognised is still passed over as a whole.
    if (Allowed(token, text, at, trusted)) {
      const size_t text_end = token.lstrip ? StripBefore(text, begin, at, order_) : at;
      if (begin < text_end) fragments.push_back({text.substr(begin, text_end - begin)});
      fragments.push_back({text.substr(at, token.text.size()), token.id});
      begin = token.rstrip ? StripAfter(text, end, text.size(), order_) : end;
    }
    at = std::max(begin, end);
  }
  if (begin < text.size()) fragments.push_back({text.substr(begin)});
  return fragments;
}

}  // namespace potluck::model
