#include "model/grammar/pattern_grammar.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/grammar/characters.h"

namespace potluck::model {
namespace {

using grammar_internal::AllBut;
using grammar_internal::Characters;

constexpr int kMaxDepth = 64;

// As a JSON string spells a character that it does not hold as it is.
std::string Escaped(char32_t c) {
  constexpr std::pair<char32_t, char> kShort[] = {{U'"', '"'},  {U'\\', '\\'}, {U'\n', 'n'},
                                                  {U'\r', 'r'}, {U'\t', 't'},  {U'\b', 'b'},
                                                  {U'\f', 'f'}};
  for (const auto& [character, letter] : kShort) {
    if (c != character) continue;
    const bool needs_escape = letter == '"' || letter == '\\';
    return absl::StrCat("\"\\\\", needs_escape ? "\\" : "", std::string(1, letter), "\"");
  }
  return absl::StrFormat("\"\\\\u%04x\"", static_cast<uint32_t>(c));
}

bool IsEscaped(char32_t c) { return c < 0x20 || c == U'"' || c == U'\\'; }

std::string OneOf(const Characters& characters) {
  std::vector<std::string> ways;
  std::string plain;
  for (auto [first, last] : characters) {
    while (first <= last) {
      // As far as characters need no escape; these all lie below U+005D.
      char32_t end = first;
      while (end <= last && !IsEscaped(end)) end = end > U'\\' ? last + 1 : end + 1;
      if (end > first) {
        absl::StrAppendFormat(&plain, "\\U%08x-\\U%08x", static_cast<uint32_t>(first),
                              static_cast<uint32_t>(end - 1));
        first = end;
      } else {
        ways.push_back(Escaped(first++));
      }
    }
  }
  if (!plain.empty()) ways.push_back(absl::StrCat("[", plain, "]"));
  return ways.empty() ? "[]" : absl::StrCat("(", absl::StrJoin(ways, " | "), ")");
}

const Characters kDigits = {{U'0', U'9'}};
const Characters kWord = {{U'0', U'9'}, {U'A', U'Z'}, {U'_', U'_'}, {U'a', U'z'}};
const Characters kSpace = {{0x09, 0x0D},     {0x20, 0x20},     {0xA0, 0xA0},     {0x1680, 0x1680},
                           {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                           {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const Characters kLineEnds = {{0x0A, 0x0A}, {0x0D, 0x0D}, {0x2028, 0x2029}};

class Reader {
 public:
  explicit Reader(std::string_view pattern) : pattern_(pattern), rest_(pattern) {}

  absl::StatusOr<std::string> ReadAll() {
    std::vector<std::string> ways;
    do {
      const bool from_start = Take("^");
      POTLUCK_ASSIGN_OR_RETURN(const std::string sequence, ReadSequence(0));
      const bool to_end = Take("$");
      ways.push_back(absl::StrCat(from_start ? "" : "char* ", sequence, to_end ? "" : " char*"));
    } while (Take("|"));
    if (!rest_.empty()) return Unknown(rest_.substr(0, 1));
    return absl::StrCat("(", absl::StrJoin(ways, " | "), ")");
  }

 private:
  absl::Status Unknown(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("pattern \"", Printable(pattern_), "\": \"",
                                                   Printable(what), "\" cannot be enforced here"));
  }
  absl::Status Wrong(std::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("pattern \"", Printable(pattern_), "\": ", ToAbsl(what)));
  }

  bool Take(std::string_view expected) {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }

  absl::StatusOr<std::string> ReadSequence(int depth) {
    if (depth > kMaxDepth) return Wrong("groups are nested too deeply");
    std::string sequence = "\"\"";
    while (!rest_.empty() && rest_.front() != '|' && rest_.front() != ')' && rest_.front() != '$') {
      POTLUCK_ASSIGN_OR_RETURN(const std::string atom, ReadAtom(depth));
      POTLUCK_ASSIGN_OR_RETURN(const std::string repetition, ReadRepetition());
      absl::StrAppend(&sequence, " ", atom, repetition);
    }
    return sequence;
  }

  absl::StatusOr<std::string> ReadAtom(int depth) {
    for (const char* unknown :
         {"(?=", "(?!", "(?<", "(?P", "^", "\\b", "\\B", "\\k", "\\p", "\\P"}) {
      if (rest_.starts_with(unknown)) return Unknown(unknown);
    }
    if (Take("(")) {
      Take("?:");
      std::vector<std::string> ways;
      do {
        POTLUCK_ASSIGN_OR_RETURN(ways.emplace_back(), ReadSequence(depth + 1));
      } while (Take("|"));
      if (rest_.starts_with("$")) return Unknown("$");
      if (!Take(")")) return Wrong("a ) is missing");
      return absl::StrCat("(", absl::StrJoin(ways, " | "), ")");
    }
    if (Take(".")) return OneOf(AllBut(kLineEnds));
    if (Take("[")) return ReadClass();
    for (const char* misplaced : {"*", "+", "?", "{"}) {
      if (rest_.starts_with(misplaced)) return Wrong("a repetition of nothing");
    }
    POTLUCK_ASSIGN_OR_RETURN(const Characters characters, ReadCharacters());
    return OneOf(characters);
  }

  absl::StatusOr<std::string> ReadRepetition() {
    std::string repetition;
    if (rest_.starts_with("*") || rest_.starts_with("+") || rest_.starts_with("?")) {
      repetition = rest_.substr(0, 1);
    } else if (rest_.starts_with("{")) {
      const size_t end = rest_.find('}');
      if (end == std::string_view::npos) return Wrong("a } is missing");
      repetition = rest_.substr(0, end + 1);
      if (repetition.find_first_not_of("{}0123456789,") != std::string::npos ||
          repetition.size() < 3 || !absl::ascii_isdigit(repetition[1]))
        return Wrong("a repetition is {2}, {2,} or {2,5}");
    }
    rest_.remove_prefix(repetition.size());
    if (!repetition.empty()) Take("?");  // how eagerly it is looked for changes no text
    return repetition;
  }

  absl::StatusOr<std::string> ReadClass() {
    const bool inverted = Take("^");
    Characters characters;
    while (!Take("]")) {
      if (rest_.empty()) return Wrong("a ] is missing");
      POTLUCK_ASSIGN_OR_RETURN(Characters first, ReadCharacters());
      const bool one = first.size() == 1 && first[0].first == first[0].second;
      if (one && rest_.starts_with("-") && !rest_.starts_with("-]")) {
        rest_.remove_prefix(1);
        POTLUCK_ASSIGN_OR_RETURN(const Characters last, ReadCharacters());
        if (last.size() != 1 || last[0].first != last[0].second || last[0].first < first[0].first)
          return Wrong("a range of characters has no two ends");
        first[0].second = last[0].second;
      }
      characters.insert(characters.end(), first.begin(), first.end());
    }
    return OneOf(AllBut(inverted ? std::move(characters) : AllBut(std::move(characters))));
  }

  // One character, or those that an escape stands for.
  absl::StatusOr<Characters> ReadCharacters() {
    if (rest_.empty()) return Wrong("it ends too early");
    if (Take("\\")) return ReadEscape();
    char32_t c = 0;
    const int length = DecodeUtf8(rest_, &c);
    if (length <= 0) return Wrong("it is not UTF-8");
    rest_.remove_prefix(length);
    return Characters{{c, c}};
  }

  absl::StatusOr<Characters> ReadEscape() {
    if (rest_.empty()) return Wrong("it ends with a \\");
    const char c = rest_.front();
    rest_.remove_prefix(1);
    const auto one = [](char32_t character) { return Characters{{character, character}}; };
    switch (c) {
      case 'd':
        return kDigits;
      case 'D':
        return AllBut(kDigits);
      case 'w':
        return kWord;
      case 'W':
        return AllBut(kWord);
      case 's':
        return kSpace;
      case 'S':
        return AllBut(kSpace);
      case 'n':
        return one(U'\n');
      case 'r':
        return one(U'\r');
      case 't':
        return one(U'\t');
      case 'f':
        return one(U'\f');
      case 'v':
        return one(U'\v');
      case 'x':
        return ReadHex(2);
      case 'u':
        return ReadHex(4);
      default:
        if (absl::ascii_isalnum(c)) return Unknown(absl::StrCat("\\", std::string(1, c)));
        return one(static_cast<unsigned char>(c));
    }
  }

  absl::StatusOr<Characters> ReadHex(size_t digits) {
    char32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (rest_.empty() || !absl::ascii_isxdigit(rest_.front()))
        return Wrong("an escape lacks hexadecimal digits");
      const char c = absl::ascii_tolower(rest_.front());
      value = 16 * value + static_cast<char32_t>(absl::ascii_isdigit(c) ? c - '0' : c - 'a' + 10);
      rest_.remove_prefix(1);
    }
    return Characters{{value, value}};
  }

  const std::string_view pattern_;
  std::string_view rest_;
};

}  // namespace

absl::StatusOr<std::string> PatternGrammar(std::string_view pattern) {
  return Reader(pattern).ReadAll();
}

}  // namespace potluck::model
