// Filters that give a string or a number.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "model/chat_template/filters.h"
#include "model/chat_template/formatting.h"
#include "model/chat_template/methods.h"
#include "model/chat_template/operators.h"

namespace potluck::model::jinja {
namespace {

using Result = absl::StatusOr<Value>;

template <Case kCase>
Result ApplyCase(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  POTLUCK_ASSIGN_OR_RETURN(const Value text, ToText(call.arena, call.input));
  return call.arena.String(ChangeCase(*text.text, kCase));
}

Result Title(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  POTLUCK_ASSIGN_OR_RETURN(const Value text, ToText(call.arena, call.input));
  // jinja2's own: words begin after white space and -({[<, unlike in str.title.
  Text out;
  size_t length = 0;
  bool begins = true;
  for (size_t i = 0; i < text.text->size(); i += length) {
    const char32_t c = CharacterAt(text.text->bytes, i, &length);
    const Text one = text.text->Slice(i, i + length);
    out.Append(ChangeCase(one, begins ? Case::kUpper : Case::kLower));
    begins = IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  }
  return call.arena.String(std::move(out));
}

Result Trim(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, call.Take({"chars"}));
  POTLUCK_ASSIGN_OR_RETURN(const Value text, ToText(call.arena, call.input));
  const bool plain = !bound[0].Is(Kind::kString);
  return call.arena.String(Strip(*text.text, true, true, plain ? nullptr : &bound[0].text->bytes));
}

Result AsString(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  return ToText(call.arena, call.input);
}

Result Escape(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  POTLUCK_ASSIGN_OR_RETURN(const Value text, ToText(call.arena, call.input));
  TextBuilder out(call.arena);
  for (size_t i = 0; i < text.text->size(); ++i) {
    const char c = text.text->bytes[i];
    const std::string_view escaped = c == '&'    ? "&amp;"
                                     : c == '<'  ? "&lt;"
                                     : c == '>'  ? "&gt;"
                                     : c == '\'' ? "&#39;"
                                     : c == '"'  ? "&#34;"
                                                 : std::string_view(&c, 1);
    out.Append(escaped, text.text->trust[i]);
  }
  return call.arena.String(out.Take());
}

Result ReplaceFilter(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, call.Take({"old", "new", "count"}, 2));
  POTLUCK_ASSIGN_OR_RETURN(const Value text, ToText(call.arena, call.input));
  POTLUCK_ASSIGN_OR_RETURN(const Value from, ToText(call.arena, bound[0]));
  POTLUCK_ASSIGN_OR_RETURN(const Value to, ToText(call.arena, bound[1]));
  const int64_t count = bound[2].IsIntegral() ? bound[2].AsInt() : -1;
  return call.arena.String(Replace(call.arena, *text.text, *from.text, *to.text, count));
}

Result ToJsonFilter(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                           call.Take({"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ascii_only = IsTrue(bound[0]);
  style.sort_keys = IsTrue(bound[3]);
  if (bound[1].IsIntegral() || bound[1].Is(Kind::kString)) {
    style.is_indented = true;
    style.item_separator.assign(1, ',');
    if (bound[1].Is(Kind::kString)) {
      style.indent = bound[1].text->bytes;
    } else {
      style.indent.assign(std::clamp<int64_t>(bound[1].AsInt(), 0, 100), ' ');
    }
  }
  if (bound[2].Is(Kind::kTuple) || bound[2].Is(Kind::kList)) {
    const auto& separators = bound[2].sequence->items;
    if (separators.size() != 2 || !separators[0].Is(Kind::kString) ||
        !separators[1].Is(Kind::kString)) {
      return Fail("tojson's separators are two strings");
    }
    style.item_separator = separators[0].text->bytes;
    style.key_separator = separators[1].text->bytes;
  }
  return ToJson(call.arena, call.input, style);
}

Result Indent(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, call.Take({"width", "first", "blank"}));
  POTLUCK_ASSIGN_OR_RETURN(const Value text, ToText(call.arena, call.input));
  Text indent(std::string(4, ' '), true);
  if (bound[0].Is(Kind::kString)) indent = *bound[0].text;
  if (bound[0].IsIntegral()) {
    indent = Text(std::string(std::clamp<int64_t>(bound[0].AsInt(), 0, 1000), ' '), true);
  }
  TextBuilder out(call.arena);
  size_t begin = 0;
  const std::string& bytes = text.text->bytes;
  if (IsTrue(bound[1])) out.Append(indent);
  while (begin <= bytes.size() && !call.arena.exhausted()) {
    const size_t end = std::min(bytes.find('\n', begin), bytes.size());
    if (begin > 0 && (end > begin || IsTrue(bound[2]))) out.Append(indent);
    out.Append(text.text->Slice(begin, std::min(end + 1, bytes.size())));
    begin = end + 1;
  }
  return call.arena.String(out.Take());
}

Result Format(const FilterCall& call) {
  if (!call.arguments.named.empty() && !call.arguments.positional.empty()) {
    return Fail("format takes values or named values, not both");
  }
  POTLUCK_ASSIGN_OR_RETURN(const Value text, ToText(call.arena, call.input));
  std::vector<std::pair<Value, Value>> named;
  for (const auto& [name, value] : call.arguments.named) {
    named.emplace_back(call.arena.String(name, true), value);
  }
  const Value mapping = named.empty() ? Value() : call.arena.NewDict(std::move(named));
  return FormatPercent(call.arena, *text.text, call.arguments, mapping);
}

Result Truncate(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                           call.Take({"length", "killwords", "end", "leeway"}));
  if (!call.input.Is(Kind::kString)) return Fail("truncate takes a string");
  const Text& text = *call.input.text;
  const int64_t length = bound[0].IsIntegral() ? bound[0].AsInt() : 255;
  const Text end = bound[2].Is(Kind::kString) ? *bound[2].text : Text("...", true);
  const int64_t leeway = bound[3].IsIntegral() ? bound[3].AsInt() : 5;
  const std::vector<size_t> offsets = CharacterOffsets(text.bytes);
  const auto size = static_cast<int64_t>(offsets.size()) - 1;
  const int64_t kept = length - static_cast<int64_t>(CountCharacters(end.bytes));
  if (kept < 0 || leeway < 0) return Fail("truncate's length is too short");
  if (size <= length || size - length <= leeway) return call.input;
  Text cut = text.Slice(0, offsets[kept]);
  if (!IsTrue(bound[1])) {
    const size_t space = cut.bytes.rfind(' ');
    if (space != std::string::npos) cut = cut.Slice(0, space);
  }
  cut.Append(end);
  return call.arena.String(std::move(cut));
}

Result UrlEncode(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  if (call.input.Is(Kind::kDict) || call.input.IsSequence()) {
    return Fail("urlencode takes a string");
  }
  POTLUCK_ASSIGN_OR_RETURN(const Value text, ToText(call.arena, call.input));
  std::string out;
  for (const char c : text.text->bytes) {
    if (absl::ascii_isalnum(c) || std::string_view("_.-~/").find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      absl::StrAppendFormat(&out, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return call.arena.String(out, false);
}

Result WordCount(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const Value text, ToText(call.arena, call.input));
  int64_t words = 0;
  bool inside = false;
  size_t length = 0;
  for (size_t i = 0; i < text.text->size(); i += length) {
    const char32_t c = CharacterAt(text.text->bytes, i, &length);
    const bool is_word = IsLetter(c) || IsDigit(c) || c == '_';
    words += is_word && !inside;
    inside = is_word;
  }
  return Value::Int(words);
}

Result ToFloat(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, call.Take({"default"}));
  if (call.input.Is(Kind::kUndefined)) return Fail("an undefined value has no number");
  if (call.input.IsNumber()) return Value::Float(call.input.AsDouble());
  double real = 0;
  if (call.input.Is(Kind::kString) && absl::SimpleAtod(call.input.text->bytes, &real)) {
    return Value::Float(real);
  }
  return call.arguments.positional.empty() && call.arguments.named.empty() ? Value::Float(0)
                                                                           : bound[0];
}

Result ToInt(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, call.Take({"default", "base"}));
  if (call.input.Is(Kind::kUndefined)) return Fail("an undefined value has no number");
  if (call.input.IsIntegral()) return Value::Int(call.input.AsInt());
  const Value otherwise = bound[0].Is(Kind::kUndefined) ? Value::Int(0) : bound[0];
  double real = 0;
  if (call.input.Is(Kind::kFloat)) {
    real = call.input.real;
  } else if (call.input.Is(Kind::kString)) {
    std::string digits = Strip(*call.input.text, true, true).bytes;
    int base =
        bound[1].IsIntegral() ? static_cast<int>(std::clamp<int64_t>(bound[1].AsInt(), 2, 36)) : 10;
    int64_t integer = 0;
    const size_t plus = !digits.empty() && digits[0] == '+';
    if (base == 16 && digits.compare(plus, 2, "0x") == 0) digits.erase(plus, 2);
    const char* end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data() + plus, end, integer, base);
    if (error == std::errc() && rest == end) return Value::Int(integer);
    if (!absl::SimpleAtod(digits, &real)) return otherwise;
  } else {
    return otherwise;
  }
  if (!(std::abs(real) < 9.2e18)) return otherwise;
  return Value::Int(static_cast<int64_t>(real));
}

Result Abs(const FilterCall& call) {
  if (call.input.Is(Kind::kFloat)) return Value::Float(std::abs(call.input.real));
  if (!call.input.IsIntegral()) return Fail("abs takes a number");
  if (call.input.AsInt() >= 0) return Value::Int(call.input.AsInt());
  return Calculate(call.arena, "-", Value::Int(0), call.input);
}

Result Round(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, call.Take({"precision", "method"}));
  if (!call.input.IsNumber()) return Fail("round takes a number");
  const std::string method = bound[1].Is(Kind::kString) ? bound[1].text->bytes : "common";
  const int64_t precision = bound[0].IsIntegral() ? bound[0].AsInt() : 0;
  const double value = call.input.AsDouble();
  if (method == "common") {
    if (call.input.IsIntegral() && precision >= 0) return Value::Int(call.input.AsInt());
    if (precision < 0 || precision > 15 || std::abs(value) > 1e15) {
      const double scale = std::pow(10.0, static_cast<double>(precision));
      return Value::Float(std::nearbyint(value * scale) / scale);
    }
    double rounded = 0;  // the decimal digits decide, as in Python
    if (!absl::SimpleAtod(absl::StrFormat("%.*f", static_cast<int>(precision), value), &rounded)) {
      return call.input;
    }
    return Value::Float(rounded);
  }
  if (method != "ceil" && method != "floor") return Fail("round: common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = method == "ceil" ? std::ceil(value * scale) : std::floor(value * scale);
  return Value::Float(scaled / scale);
}

Result Default(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, call.Take({"default_value", "boolean"}));
  const bool replaced =
      call.input.Is(Kind::kUndefined) || (IsTrue(bound[1]) && !IsTrue(call.input));
  if (!replaced) return call.input;
  const bool given = !call.arguments.positional.empty() || !call.arguments.named.empty();
  return given && !bound[0].Is(Kind::kUndefined) ? bound[0] : call.arena.String(Text());
}

}  // namespace

const std::vector<FilterEntry>& TextFilters() {
  static const std::vector<FilterEntry> filters = {
      {"abs", Abs},
      {"capitalize", ApplyCase<Case::kCapitalize>},
      {"d", Default},
      {"default", Default},
      {"e", Escape},
      {"escape", Escape},
      {"float", ToFloat},
      {"format", Format},
      {"indent", Indent},
      {"int", ToInt},
      {"lower", ApplyCase<Case::kLower>},
      {"replace", ReplaceFilter},
      {"round", Round},
      {"safe", AsString},
      {"string", AsString},
      {"title", Title},
      {"tojson", ToJsonFilter},
      {"trim", Trim},
      {"truncate", Truncate},
      {"upper", ApplyCase<Case::kUpper>},
      {"urlencode", UrlEncode},
      {"wordcount", WordCount},
  };
  return filters;
}

}  // namespace potluck::model::jinja
