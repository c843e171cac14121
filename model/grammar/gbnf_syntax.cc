#include "model/grammar/gbnf_syntax.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::model::grammar_internal {
namespace {

constexpr int kMaxDepth = 64;          // of parentheses
constexpr int32_t kMaxCount = 100000;  // of repetitions

bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; }

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text), rest_(text) {}

  absl::StatusOr<std::vector<Rule>> ReadAll() {
    SkipSpace(true);
    while (!rest_.empty()) {
      POTLUCK_RETURN_IF_ERROR(ReadRule());
      SkipSpace(true);
    }
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (!defined_[i])
        return absl::InvalidArgumentError(
            absl::StrCat("grammar: the rule \"", Printable(rules_[i].name), "\" is not defined"));
    }
    if (!numbers_.contains("root"))
      return absl::InvalidArgumentError("grammar: there is no rule \"root\" to begin with");
    return std::move(rules_);
  }

 private:
  absl::Status Error(std::string_view what) const {
    const auto line = std::ranges::count(text_.substr(0, text_.size() - rest_.size()), '\n') + 1;
    return absl::InvalidArgumentError(absl::StrCat("grammar, line ", line, ": ", ToAbsl(what)));
  }

  bool Take(std::string_view expected) {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }

  void SkipSpace(bool over_lines) {
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (c == '#') {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else if (c == ' ' || c == '\t' || (over_lines && (c == '\n' || c == '\r'))) {
        rest_.remove_prefix(1);
      } else {
        return;
      }
    }
  }

  std::string_view ReadName() {
    size_t length = 0;
    while (length < rest_.size() && IsNameCharacter(rest_[length])) ++length;
    const std::string_view name = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return name;
  }

  int32_t NumberOf(std::string_view name) {
    const auto [known, is_new] =
        numbers_.try_emplace(std::string(name), static_cast<int32_t>(rules_.size()));
    if (is_new) {
      rules_.push_back({std::string(name), {}});
      defined_.push_back(false);
    }
    return known->second;
  }

  absl::Status ReadRule() {
    const std::string_view name = ReadName();
    if (name.empty()) return Error("a rule's name is expected, of letters, digits, - and _");
    SkipSpace(false);
    if (!Take("::=")) return Error(absl::StrCat("::= is expected after \"", ToAbsl(name), "\""));
    const int32_t number = NumberOf(name);
    if (defined_[number])
      return Error(absl::StrCat("the rule \"", ToAbsl(name), "\" is defined twice"));
    SkipSpace(true);
    POTLUCK_ASSIGN_OR_RETURN(Expression body, ReadChoice(0));
    rules_[number].body = std::move(body);
    defined_[number] = true;
    SkipSpace(false);
    if (!rest_.empty() && rest_.front() != '\n' && rest_.front() != '\r' && !IsNextRule())
      return Error(absl::StrCat("\"", Printable(rest_.substr(0, 1)), "\" has no place here"));
    return absl::OkStatus();
  }

  // Alternatives may go on in the next line where that begins or this one ends with |.
  bool TakeBar() {
    const std::string_view before = rest_;
    SkipSpace(true);
    if (Take("|")) return true;
    rest_ = before;
    return false;
  }

  absl::StatusOr<Expression> ReadChoice(int depth) {
    if (depth > kMaxDepth) return Error("parentheses are nested too deeply");
    Expression choice{.kind = Expression::Kind::kChoice};
    do {
      SkipSpace(true);
      POTLUCK_ASSIGN_OR_RETURN(Expression sequence, ReadSequence(depth));
      choice.parts.push_back(std::move(sequence));
    } while (TakeBar());
    if (choice.parts.size() == 1) return std::move(choice.parts.front());
    return choice;
  }

  // A rule's name may be followed by ::= only in the line in which its rule begins.
  bool IsNextRule() const {
    size_t at = 0;
    while (at < rest_.size() && IsNameCharacter(rest_[at])) ++at;
    while (at < rest_.size() && (rest_[at] == ' ' || rest_[at] == '\t')) ++at;
    return rest_.substr(at).starts_with("::=");
  }

  absl::StatusOr<Expression> ReadSequence(int depth) {
    Expression sequence;
    while (true) {
      SkipSpace(depth > 0);
      if (rest_.empty() || IsNextRule()) break;
      const size_t before = sequence.parts.size();
      const char c = rest_.front();
      if (c == '"') {
        POTLUCK_RETURN_IF_ERROR(ReadText(sequence));
      } else if (c == '[') {
        POTLUCK_RETURN_IF_ERROR(ReadClass(sequence));
      } else if (c == '.') {
        rest_.remove_prefix(1);
        sequence.parts.push_back(
            {.kind = Expression::Kind::kCharacters, .characters = {{0, kLastCodePoint}}});
      } else if (c == '(') {
        rest_.remove_prefix(1);
        POTLUCK_ASSIGN_OR_RETURN(Expression group, ReadChoice(depth + 1));
        SkipSpace(true);
        if (!Take(")")) return Error("a ) is missing");
        sequence.parts.push_back(std::move(group));
      } else if (IsNameCharacter(c)) {
        sequence.parts.push_back({.kind = Expression::Kind::kRule, .rule = NumberOf(ReadName())});
      } else {
        break;
      }
      POTLUCK_RETURN_IF_ERROR(ReadRepetition(sequence, before));
    }
    return sequence;
  }

  // *, +, ? and {m,n} are of all that the sequence has from `first` on: a whole text in quotes.
  absl::Status ReadRepetition(Expression& sequence, size_t first) {
    int32_t least = 0, most = Expression::kUnbounded;
    if (Take("+")) {
      least = 1;
    } else if (Take("?")) {
      most = 1;
    } else if (Take("{")) {
      SkipSpace(false);
      POTLUCK_ASSIGN_OR_RETURN(least, ReadCount());
      most = least;
      SkipSpace(false);
      if (Take(",")) {
        SkipSpace(false);
        most = Expression::kUnbounded;
        if (!rest_.starts_with("}")) {
          POTLUCK_ASSIGN_OR_RETURN(most, ReadCount());
          if (most < least) return Error("a repetition's most is below its least");
        }
        SkipSpace(false);
      }
      if (!Take("}")) return Error("a } is missing");
    } else if (!Take("*")) {
      return absl::OkStatus();
    }
    Expression repeated;
    const auto begin = sequence.parts.begin() + static_cast<ptrdiff_t>(first);
    std::move(begin, sequence.parts.end(), std::back_inserter(repeated.parts));
    sequence.parts.erase(begin, sequence.parts.end());
    Expression repeat{.kind = Expression::Kind::kRepeat, .least = least, .most = most};
    repeat.parts.push_back(std::move(repeated));
    sequence.parts.push_back(std::move(repeat));
    if (rest_.starts_with("*") || rest_.starts_with("+") || rest_.starts_with("?"))
      return Error("a repetition of a repetition needs parentheses");
    return absl::OkStatus();
  }

  absl::StatusOr<int32_t> ReadCount() {
    int32_t count = 0;
    size_t length = 0;
    for (; length < rest_.size() && absl::ascii_isdigit(rest_[length]); ++length)
      count = std::min(10 * count + (rest_[length] - '0'), kMaxCount + 1);
    if (length == 0) return Error("a number is expected between { and }");
    if (count > kMaxCount) return Error(absl::StrCat("more than ", kMaxCount, " repetitions"));
    rest_.remove_prefix(length);
    return count;
  }

  absl::Status ReadText(Expression& sequence) {
    rest_.remove_prefix(1);
    while (!Take("\"")) {
      POTLUCK_ASSIGN_OR_RETURN(const char32_t c, ReadCharacter());
      sequence.parts.push_back({.kind = Expression::Kind::kCharacters, .characters = {{c, c}}});
    }
    return absl::OkStatus();
  }

  absl::Status ReadClass(Expression& sequence) {
    rest_.remove_prefix(1);
    const bool inverted = Take("^");
    Expression characters{.kind = Expression::Kind::kCharacters};
    while (!Take("]")) {
      POTLUCK_ASSIGN_OR_RETURN(const char32_t first, ReadCharacter());
      char32_t last = first;
      if (rest_.starts_with("-") && !rest_.starts_with("-]")) {
        rest_.remove_prefix(1);
        POTLUCK_ASSIGN_OR_RETURN(last, ReadCharacter());
        if (last < first) return Error("a range of characters ends before it begins");
      }
      characters.characters.emplace_back(first, last);
    }
    if (inverted) characters.characters = AllBut(std::move(characters.characters));
    sequence.parts.push_back(std::move(characters));
    return absl::OkStatus();
  }

  absl::StatusOr<char32_t> ReadCharacter() {
    if (rest_.empty() || rest_.front() == '\n') return Error("a text or a class does not end");
    if (Take("\\")) return ReadEscape();
    char32_t c = 0;
    const int length = DecodeUtf8(rest_, &c);
    if (length <= 0) return Error("this is not UTF-8");
    rest_.remove_prefix(length);
    return c;
  }

  absl::StatusOr<char32_t> ReadEscape() {
    if (rest_.empty()) return Error("a text or a class does not end");
    const char c = rest_.front();
    rest_.remove_prefix(1);
    switch (c) {
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case 'x':
        return ReadHex(2);
      case 'u':
        return ReadHex(4);
      case 'U':
        return ReadHex(8);
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<char32_t>(c);
      default:
        return Error(absl::StrCat("\\", Printable(std::string_view(&c, 1)), " is no escape"));
    }
  }

  absl::StatusOr<char32_t> ReadHex(size_t digits) {
    char32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (rest_.empty() || !absl::ascii_isxdigit(rest_.front()))
        return Error(absl::StrCat("an escape needs ", digits, " hexadecimal digits"));
      const char c = absl::ascii_tolower(rest_.front());
      value = 16 * value + static_cast<char32_t>(absl::ascii_isdigit(c) ? c - '0' : c - 'a' + 10);
      rest_.remove_prefix(1);
    }
    if (value > kLastCodePoint) return Error("an escape is beyond Unicode's last character");
    return value;
  }

  const std::string_view text_;
  std::string_view rest_;
  std::vector<Rule> rules_;
  std::vector<bool> defined_;
  absl::flat_hash_map<std::string, int32_t> numbers_;  // of rules, by name
};

}  // namespace

absl::StatusOr<std::vector<Rule>> ReadGbnf(std::string_view text) { return Reader(text).ReadAll(); }

}  // namespace potluck::model::grammar_internal
