#include "model/chat_template/lexer.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/chat_template/text.h"

namespace potluck::model::jinja {
namespace {

// One kind of line end, and none at the very end, as jinja2 reads its sources.
std::string NormalizeLines(const std::string& source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out.push_back('\n');
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool IsNameByte(char c) { return absl::ascii_isalnum(c) || c == '_' || (c & 0x80) != 0; }

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (position_ < source_.size()) POTLUCK_RETURN_IF_ERROR(Root());
    Emit(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view Rest() const { return std::string_view(source_).substr(position_); }
  bool At(std::string_view text) const { return Rest().substr(0, text.size()) == text; }
  char Peek(size_t ahead = 0) const {
    return position_ + ahead < source_.size() ? source_[position_ + ahead] : '\0';
  }

  void Advance(size_t count) {
    const auto begin = source_.begin() + position_;
    line_ += static_cast<int>(std::count(begin, begin + count, '\n'));
    position_ += count;
  }

  void Emit(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  void SkipSpaces() {
    size_t length = 0;
    while (position_ < source_.size() && IsSpace(CharacterAt(source_, position_, &length))) {
      Advance(length);
    }
  }

  // Text up to the next tag, then the tag's opening.
  absl::Status Root() {
    size_t tag = source_.find('{', position_);
    while (tag != std::string::npos && tag + 1 < source_.size() && source_[tag + 1] != '{' &&
           source_[tag + 1] != '%' && source_[tag + 1] != '#') {
      tag = source_.find('{', tag + 1);
    }
    if (tag == std::string::npos || tag + 1 >= source_.size()) {
      Emit(TokenKind::kData, source_.substr(position_));
      position_ = source_.size();
      return absl::OkStatus();
    }
    const char type = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    EmitData(tag, sign, type != '{');
    Advance(2 + (sign == '-' || sign == '+'));
    if (type == '#') return Comment();
    if (type == '{') {
      Emit(TokenKind::kVariableBegin, "{{");
      return Expression("}}", TokenKind::kVariableEnd);
    }
    if (RawFollows()) return Raw();
    Emit(TokenKind::kBlockBegin, "{%");
    return Expression("%}", TokenKind::kBlockEnd);
  }

  // The text before the tag at `tag`, less the white space that the tag's `sign` takes.
  void EmitData(size_t tag, char sign, bool is_block) {
    std::string_view text = std::string_view(source_).substr(position_, tag - position_);
    const size_t whole = text.size();
    if (sign == '-') {
      text = text.substr(0, Strip(Text(text, true), false, true).size());
    } else if (sign != '+' && is_block) {
      const size_t line_begin = text.rfind('\n') + 1;  // 0 where there is none
      if ((line_begin > 0 || line_starting_) &&
          Strip(Text(text.substr(line_begin), true), true, false).size() == 0) {
        text = text.substr(0, line_begin);
      }
    }
    if (!text.empty()) Emit(TokenKind::kData, std::string(text));
    Advance(whole);
  }

  // After a tag's end: '-' takes all white space, else a block takes one line end.
  void AfterTag(char sign, bool trims_line) {
    const size_t before = position_;
    if (sign == '-') {
      SkipSpaces();
    } else if (sign != '+' && trims_line && Peek() == '\n') {
      Advance(1);
    }
    line_starting_ = position_ > before && source_[position_ - 1] == '\n';
  }

  absl::Status Comment() {
    const size_t end = source_.find("#}", position_);
    if (end == std::string::npos) return SyntaxError(line_, "a comment {# has no end #}");
    const char sign = end > position_ ? source_[end - 1] : '\0';
    Advance(end + 2 - position_);
    AfterTag(sign, true);
    return absl::OkStatus();
  }

  // Whether {% begins `raw`; if so, goes behind its %}.
  bool RawFollows() {
    size_t i = position_;
    const auto skip = [&] {
      while (i < source_.size() && absl::ascii_isspace(source_[i])) ++i;
    };
    skip();
    if (source_.compare(i, 3, "raw") != 0) return false;
    i += 3;
    skip();
    const char sign = i < source_.size() && source_[i] == '-' ? '-' : '\0';
    if (sign == '-') ++i;
    if (source_.compare(i, 2, "%}") != 0) return false;
    Advance(i + 2 - position_);
    AfterTag(sign, false);
    return true;
  }

  absl::Status Raw() {
    for (size_t tag = source_.find("{%", position_); tag != std::string::npos;
         tag = source_.find("{%", tag + 1)) {
      size_t i = tag + 2;
      const char begin_sign = i < source_.size() ? source_[i] : '\0';
      if (begin_sign == '-' || begin_sign == '+') ++i;
      while (i < source_.size() && absl::ascii_isspace(source_[i])) ++i;
      if (source_.compare(i, 6, "endraw") != 0) continue;
      i += 6;
      while (i < source_.size() && absl::ascii_isspace(source_[i])) ++i;
      const char end_sign = i < source_.size() ? source_[i] : '\0';
      if (end_sign == '-' || end_sign == '+') ++i;
      if (source_.compare(i, 2, "%}") != 0) continue;
      EmitData(tag, begin_sign, true);
      Advance(i + 2 - position_);
      AfterTag(end_sign, true);
      return absl::OkStatus();
    }
    return SyntaxError(line_, "{% raw %} has no {% endraw %}");
  }

  absl::Status Expression(std::string_view end, TokenKind end_kind) {
    const int begin_line = line_;
    const bool is_block = end_kind == TokenKind::kBlockEnd;
    std::string brackets;
    while (true) {
      SkipSpaces();
      if (position_ >= source_.size()) {
        return SyntaxError(begin_line, absl::StrCat("a tag has no end ", ToAbsl(end)));
      }
      const bool signed_end =
          (Peek() == '-' || (is_block && Peek() == '+')) && Rest().substr(1, end.size()) == end;
      if (brackets.empty() && (signed_end || At(end))) {
        Emit(end_kind, std::string(end));
        const char sign = signed_end ? Peek() : '\0';
        Advance(end.size() + signed_end);
        AfterTag(sign, is_block);
        return absl::OkStatus();
      }
      POTLUCK_RETURN_IF_ERROR(Inside(brackets));
    }
  }

  absl::Status Inside(std::string& brackets) {
    const char c = Peek();
    if (c == '\'' || c == '"') return String(c);
    if (absl::ascii_isdigit(c)) return Number();
    if (IsNameByte(c)) {
      size_t length = 1;
      while (IsNameByte(Peek(length))) ++length;
      Emit(TokenKind::kName, source_.substr(position_, length));
      Advance(length);
      return absl::OkStatus();
    }
    for (std::string_view op : {"//", "**", "==", "!=", ">=", "<="}) {
      if (!At(op)) continue;
      Emit(TokenKind::kOperator, std::string(op));
      Advance(2);
      return absl::OkStatus();
    }
    if (c == '\0' || std::string_view("+-*/%~<>=.:|,;()[]{}").find(c) == std::string_view::npos) {
      return SyntaxError(line_, absl::StrCat("unexpected '", Printable(Rest().substr(0, 1)), "'"));
    }
    if (c == '(' || c == '[' || c == '{') brackets.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) {
        return SyntaxError(line_, absl::StrCat("'", std::string(1, c), "' closes nothing"));
      }
      brackets.pop_back();
    }
    Emit(TokenKind::kOperator, std::string(1, c));
    Advance(1);
    return absl::OkStatus();
  }

  absl::Status Number() {
    size_t length = 0;
    const auto digits = [&] {
      while (absl::ascii_isdigit(Peek(length)) ||
             (Peek(length) == '_' && absl::ascii_isdigit(Peek(length + 1)))) {
        ++length;
      }
    };
    if (Peek() == '0' && std::string_view("xXoObB").find(Peek(1)) != std::string_view::npos) {
      length = 2;
      while (absl::ascii_isxdigit(Peek(length)) || Peek(length) == '_') ++length;
    } else {
      digits();
    }
    bool is_float = false;
    const bool after_dot = !tokens_.empty() && tokens_.back().IsOperator(".");
    if (!after_dot && Peek(length) == '.' && absl::ascii_isdigit(Peek(length + 1))) {
      is_float = true;
      ++length;
      digits();
    }
    const size_t sign = Peek(length + 1) == '+' || Peek(length + 1) == '-';
    if (!after_dot && (Peek(length) == 'e' || Peek(length) == 'E') &&
        absl::ascii_isdigit(Peek(length + 1 + sign))) {
      is_float = true;
      length += 1 + sign;
      digits();
    }
    std::string text = source_.substr(position_, length);
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    Emit(is_float ? TokenKind::kFloat : TokenKind::kInt, std::move(text));
    Advance(length);
    return absl::OkStatus();
  }

  absl::Status String(char quote) {
    const int begin_line = line_;
    std::string value;
    size_t i = position_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] != '\\') {
        value.push_back(source_[i++]);
        continue;
      }
      if (i + 1 >= source_.size()) break;
      if (!Escape(i, value)) return SyntaxError(begin_line, "a string has a broken escape");
    }
    if (i >= source_.size()) return SyntaxError(begin_line, "a string has no end");
    Emit(TokenKind::kString, std::move(value));
    Advance(i + 1 - position_);
    return absl::OkStatus();
  }

  // The escape at source_[i], a backslash with something behind it. Leaves i behind it.
  bool Escape(size_t& i, std::string& value) {
    const char c = source_[i + 1];
    constexpr std::string_view kLetters = "ntrabfv\\'\"";
    constexpr std::string_view kValues = "\n\t\r\a\b\f\v\\'\"";
    i += 2;
    if (const size_t known = kLetters.find(c); known != std::string_view::npos) {
      value.push_back(kValues[known]);
    } else if (c >= '0' && c <= '7') {
      char32_t code = c - '0';
      for (int n = 0; n < 2 && i < source_.size() && source_[i] >= '0' && source_[i] <= '7'; ++n) {
        code = code * 8 + (source_[i++] - '0');
      }
      AppendUtf8(code, value);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      char32_t code = 0;
      if (!Hex(i, c == 'x' ? 2 : c == 'u' ? 4 : 8, code)) return false;
      if (code >= 0xD800 && code < 0xDC00 && source_.compare(i, 2, "\\u") == 0) {
        size_t next = i + 2;
        char32_t low = 0;
        if (Hex(next, 4, low) && low >= 0xDC00 && low <= 0xDFFF) {
          code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
          i = next;
        }
      }
      if (code > 0x10FFFF) return false;
      AppendUtf8(code, value);
    } else if (c == 'N') {
      return false;
    } else if (c != '\n') {
      value.push_back('\\');
      value.push_back(c);
    }
    return true;
  }

  bool Hex(size_t& i, int digits, char32_t& code) const {
    for (int n = 0; n < digits; ++n, ++i) {
      if (i >= source_.size() || !absl::ascii_isxdigit(source_[i])) return false;
      const char c = absl::ascii_tolower(source_[i]);
      code = code * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return true;
  }

  const std::string source_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // only white space stands between a line's begin and position_
  std::vector<Token> tokens_;
};

}  // namespace

absl::Status SyntaxError(int line, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("chat template, line ", line, ": ", ToAbsl(what)));
}

absl::StatusOr<std::vector<Token>> Tokenize(const std::string& source) {
  return Lexer(NormalizeLines(source)).Run();
}

}  // namespace potluck::model::jinja
