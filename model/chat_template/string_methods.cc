#include <algorithm>

#include "common/status_macros.h"
#include "model/chat_template/formatting.h"
#include "model/chat_template/methods.h"
#include "model/chat_template/operators.h"

namespace potluck::model::jinja {
namespace {

constexpr std::string_view kMethods[] = {
    "strip",      "lstrip",  "rstrip",  "split",   "rsplit",     "splitlines",   "startswith",
    "endswith",   "upper",   "lower",   "title",   "capitalize", "replace",      "find",
    "rfind",      "index",   "join",    "format",  "count",      "removeprefix", "removesuffix",
    "isdigit",    "isalpha", "isalnum", "isspace", "isupper",    "islower",      "partition",
    "rpartition", "zfill",   "ljust",   "rjust"};

using Result = absl::StatusOr<Value>;

Result TextList(Arena& arena, std::vector<Text> parts, Kind kind = Kind::kList) {
  std::vector<Value> items;
  for (Text& part : parts) {
    if (!arena.Charge(80)) break;
    items.push_back(arena.String(std::move(part)));
  }
  return arena.List(std::move(items), kind);
}

Result SplitSpaces(Arena& arena, const Text& text, int64_t limit, bool from_right) {
  std::vector<Text> parts;
  Text rest = Strip(text, !from_right, from_right);
  size_t length = 0;
  if (from_right && limit >= 0) {
    // Words from the right; the rest keeps its inner spaces.
    while (rest.size() > 0 && limit-- > 0 && arena.Charge(80 + 2 * rest.size())) {
      size_t begin = 0;
      for (size_t i = 0; i < rest.size(); i += length) {
        if (IsSpace(CharacterAt(rest.bytes, i, &length))) begin = i + length;
      }
      parts.push_back(rest.Slice(begin, rest.size()));
      rest = Strip(rest.Slice(0, begin), false, true);
    }
    if (rest.size() > 0) parts.push_back(rest);
    std::reverse(parts.begin(), parts.end());
    return TextList(arena, std::move(parts));
  }
  rest = Strip(text, true, false);
  size_t begin = 0;
  while (begin < rest.size() && arena.Charge(80)) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(rest.Slice(begin, rest.size()));
      break;
    }
    size_t end = begin;
    while (end < rest.size() && !IsSpace(CharacterAt(rest.bytes, end, &length))) end += length;
    parts.push_back(rest.Slice(begin, end));
    begin = end;
    while (begin < rest.size() && IsSpace(CharacterAt(rest.bytes, begin, &length))) begin += length;
  }
  return TextList(arena, std::move(parts));
}

Result Split(Arena& arena, const Text& text, const Arguments& arguments, bool from_right) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                           Bind("split", arguments, {"sep", "maxsplit"}, 0));
  int64_t limit = -1;
  if (!bound[1].Is(Kind::kUndefined)) {
    if (!bound[1].IsIntegral()) return Fail("split's maxsplit is a whole number");
    limit = bound[1].AsInt();
  }
  if (bound[0].Is(Kind::kUndefined) || bound[0].Is(Kind::kNone)) {
    return SplitSpaces(arena, text, limit, from_right);
  }
  if (!bound[0].Is(Kind::kString)) return Fail("split takes a string");
  const std::string& separator = bound[0].text->bytes;
  if (separator.empty()) return Fail("split can't cut at an empty string");
  std::vector<Text> parts;
  size_t begin = 0, end = text.size();
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    if (!arena.Charge(80)) return Value();
    if (from_right) {
      const size_t at = end < separator.size()
                            ? std::string::npos
                            : text.bytes.rfind(separator, end - separator.size());
      if (at == std::string::npos) break;
      parts.push_back(text.Slice(at + separator.size(), end));
      end = at;
    } else {
      const size_t at = text.bytes.find(separator, begin);
      if (at == std::string::npos) break;
      parts.push_back(text.Slice(begin, at));
      begin = at + separator.size();
    }
  }
  parts.push_back(text.Slice(begin, end));
  if (from_right) std::reverse(parts.begin(), parts.end());
  return TextList(arena, std::move(parts));
}

Result SplitLines(Arena& arena, const Text& text, const Arguments& arguments) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                           Bind("splitlines", arguments, {"keepends"}, 0));
  const bool keep = IsTrue(bound[0]);
  std::vector<Text> lines;
  size_t begin = 0, length = 0;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = CharacterAt(text.bytes, i, &length);
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
    const size_t at = i;
    i += length;
    if (!ends) continue;
    if (c == '\r' && i < text.size() && text.bytes[i] == '\n') ++i;
    if (!arena.Charge(80)) break;
    lines.push_back(text.Slice(begin, keep ? i : at));
    begin = i;
  }
  if (begin < text.size()) lines.push_back(text.Slice(begin, text.size()));
  return TextList(arena, std::move(lines));
}

Result StripMethod(Arena& arena, const Text& text, std::string_view name,
                   const Arguments& arguments) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, Bind(name, arguments, {"chars"}, 0));
  const bool plain = bound[0].Is(Kind::kUndefined) || bound[0].Is(Kind::kNone);
  if (!plain && !bound[0].Is(Kind::kString)) return Fail(name, " takes a string");
  return arena.String(
      Strip(text, name != "rstrip", name != "lstrip", plain ? nullptr : &bound[0].text->bytes));
}

Result StartsOrEnds(const Text& text, std::string_view name, const Arguments& arguments) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, Bind(name, arguments, {"affix"}, 1));
  std::vector<Value> affixes = {bound[0]};
  if (bound[0].Is(Kind::kTuple)) affixes = bound[0].sequence->items;
  for (const Value& affix : affixes) {
    if (!affix.Is(Kind::kString)) return Fail(name, " takes a string or a tuple of strings");
    const std::string& wanted = affix.text->bytes;
    if (wanted.size() > text.size()) continue;
    const size_t at = name == "startswith" ? 0 : text.size() - wanted.size();
    if (text.bytes.compare(at, wanted.size(), wanted) == 0) return Value::Bool(true);
  }
  return Value::Bool(false);
}

Result Find(const Text& text, std::string_view name, const Arguments& arguments) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                           Bind(name, arguments, {"sub", "start"}, 1));
  if (!bound[0].Is(Kind::kString)) return Fail(name, " takes a string");
  const std::string& wanted = bound[0].text->bytes;
  size_t begin = 0;
  if (!bound[1].Is(Kind::kUndefined)) {
    if (!bound[1].IsIntegral()) return Fail(name, "'s start is a whole number");
    const std::vector<size_t> offsets = CharacterOffsets(text.bytes);
    const auto size = static_cast<int64_t>(offsets.size()) - 1;
    int64_t start =
        bound[1].AsInt() < 0 ? std::max<int64_t>(0, bound[1].AsInt() + size) : bound[1].AsInt();
    if (start > size) return name == "index" ? Result(Fail("substring not found")) : Value::Int(-1);
    begin = offsets[start];
  }
  if (name == "count") {
    if (wanted.empty()) return Value::Int(CountCharacters(text.bytes.substr(begin)) + 1);
    int64_t count = 0;
    for (size_t at = text.bytes.find(wanted, begin); at != std::string::npos;
         at = text.bytes.find(wanted, at + wanted.size())) {
      ++count;
    }
    return Value::Int(count);
  }
  const size_t at = name == "rfind" ? text.bytes.rfind(wanted) : text.bytes.find(wanted, begin);
  const bool found = at != std::string::npos && at >= begin;
  if (!found && name == "index") return Fail("index: substring not found");
  return Value::Int(found ? static_cast<int64_t>(CountCharacters(text.bytes.substr(0, at))) : -1);
}

Result Join(Arena& arena, const Text& separator, const Arguments& arguments) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, Bind("join", arguments, {"items"}, 1));
  if (bound[0].Is(Kind::kUndefined)) return arena.String(Text());
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(arena, bound[0]));
  TextBuilder text(arena);
  for (size_t i = 0; i < items.size() && !arena.exhausted(); ++i) {
    if (!items[i].Is(Kind::kString)) return Fail("join takes strings, not ", TypeName(items[i]));
    if (i > 0) text.Append(separator);
    text.Append(*items[i].text);
  }
  return arena.String(text.Take());
}

Result ReplaceMethod(Arena& arena, const Text& text, const Arguments& arguments) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                           Bind("replace", arguments, {"old", "new", "count"}, 2));
  if (!bound[0].Is(Kind::kString) || !bound[1].Is(Kind::kString)) {
    return Fail("replace takes strings");
  }
  const int64_t count = bound[2].IsIntegral() ? bound[2].AsInt() : -1;
  return arena.String(Replace(arena, text, *bound[0].text, *bound[1].text, count));
}

Result Classify(const Text& text, std::string_view name) {
  bool all = text.size() > 0, cased = false, wrong_case = false;
  size_t length = 0;
  for (size_t i = 0; i < text.size(); i += length) {
    const char32_t c = CharacterAt(text.bytes, i, &length);
    if (name == "isdigit") all = all && IsDigit(c);
    if (name == "isalpha") all = all && IsLetter(c);
    if (name == "isalnum") all = all && (IsLetter(c) || IsDigit(c));
    if (name == "isspace") all = all && IsSpace(c);
    const Text one = text.Slice(i, i + length);
    const bool is_upper = ChangeCase(one, Case::kLower).bytes != one.bytes;
    const bool is_lower = ChangeCase(one, Case::kUpper).bytes != one.bytes;
    cased = cased || is_upper || is_lower;
    wrong_case = wrong_case || (name == "isupper" ? is_lower : is_upper);
  }
  if (name == "isupper" || name == "islower") return Value::Bool(cased && !wrong_case);
  return Value::Bool(all);
}

Result Partition(Arena& arena, const Text& text, std::string_view name,
                 const Arguments& arguments) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, Bind(name, arguments, {"sep"}, 1));
  if (!bound[0].Is(Kind::kString)) return Fail(name, " takes a string");
  const std::string& separator = bound[0].text->bytes;
  if (separator.empty()) return Fail(name, " can't cut at an empty string");
  const bool right = name == "rpartition";
  const size_t at = right ? text.bytes.rfind(separator) : text.bytes.find(separator);
  if (at == std::string::npos) {
    if (right) return TextList(arena, {Text(), Text(), text}, Kind::kTuple);
    return TextList(arena, {text, Text(), Text()}, Kind::kTuple);
  }
  const size_t end = at + separator.size();
  return TextList(arena, {text.Slice(0, at), text.Slice(at, end), text.Slice(end, text.size())},
                  Kind::kTuple);
}

Result Pad(Arena& arena, const Text& text, std::string_view name, const Arguments& arguments) {
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                           Bind(name, arguments, {"width", "fill"}, 1));
  if (!bound[0].IsIntegral()) return Fail(name, " takes a width");
  Text fill = name == "zfill" ? Text("0", false) : Text(" ", true);
  if (bound[1].Is(Kind::kString)) fill = *bound[1].text;
  int64_t missing = bound[0].AsInt() - static_cast<int64_t>(CountCharacters(text.bytes));
  TextBuilder padded(arena);
  const bool is_signed =
      name == "zfill" && text.size() > 0 && (text.bytes[0] == '-' || text.bytes[0] == '+');
  if (name == "ljust") padded.Append(text);
  if (is_signed) padded.Append(text.Slice(0, 1));
  for (; missing > 0 && !arena.exhausted(); --missing) {
    arena.Charge(1);
    padded.Append(fill);
  }
  if (name != "ljust") padded.Append(text.Slice(is_signed, text.size()));
  return arena.String(padded.Take());
}

Result RemoveAffix(Arena& arena, const Text& text, std::string_view name,
                   const Arguments& arguments) {
  POTLUCK_ASSIGN_OR_RETURN(
      const Value has,
      StartsOrEnds(text, name == "removeprefix" ? "startswith" : "endswith", arguments));
  const Value& affix =
      arguments.positional.empty() ? arguments.named[0].second : arguments.positional[0];
  if (!affix.Is(Kind::kString)) return Fail(name, " takes a string");
  const size_t removed = has.boolean ? affix.text->size() : 0;
  return arena.String(name == "removeprefix" ? text.Slice(removed, text.size())
                                             : text.Slice(0, text.size() - removed));
}

}  // namespace

bool IsStringMethod(std::string_view name) {
  return std::find(std::begin(kMethods), std::end(kMethods), name) != std::end(kMethods);
}

Text Replace(Arena& arena, const Text& text, const Text& from, const Text& to, int64_t count) {
  TextBuilder out(arena);
  size_t begin = 0, length = 0;
  if (from.size() == 0) {  // between all characters
    for (; begin < text.size() && count != 0 && !arena.exhausted(); --count) {
      out.Append(to);
      CharacterAt(text.bytes, begin, &length);
      out.Append(text.Slice(begin, begin + length));
      begin += length;
    }
    if (begin == text.size() && count != 0) out.Append(to);
  }
  while (from.size() > 0 && count != 0 && arena.Charge(1)) {
    const size_t at = text.bytes.find(from.bytes, begin);
    if (at == std::string::npos) break;
    out.Append(text.Slice(begin, at));
    out.Append(to);
    begin = at + from.size();
    --count;
  }
  out.Append(text.Slice(begin, text.size()));
  return out.Take();
}

Result CallStringMethod(Arena& arena, const Text& self, std::string_view name,
                        const Arguments& arguments) {
  if (!arena.Charge(4 * static_cast<int64_t>(self.size()))) return Value();
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    return StripMethod(arena, self, name, arguments);
  }
  if (name == "split" || name == "rsplit") {
    return Split(arena, self, arguments, name == "rsplit");
  }
  if (name == "splitlines") return SplitLines(arena, self, arguments);
  if (name == "startswith" || name == "endswith") return StartsOrEnds(self, name, arguments);
  if (name == "replace") return ReplaceMethod(arena, self, arguments);
  if (name == "find" || name == "rfind" || name == "index" || name == "count") {
    return Find(self, name, arguments);
  }
  if (name == "join") return Join(arena, self, arguments);
  if (name == "format") return FormatBraces(arena, self, arguments);
  if (name == "removeprefix" || name == "removesuffix") {
    return RemoveAffix(arena, self, name, arguments);
  }
  if (name == "partition" || name == "rpartition") return Partition(arena, self, name, arguments);
  if (name == "zfill" || name == "ljust" || name == "rjust") {
    return Pad(arena, self, name, arguments);
  }
  POTLUCK_RETURN_IF_ERROR(Bind(name, arguments, {}, 0).status());
  if (name == "upper") return arena.String(ChangeCase(self, Case::kUpper));
  if (name == "lower") return arena.String(ChangeCase(self, Case::kLower));
  if (name == "title") return arena.String(ChangeCase(self, Case::kTitle));
  if (name == "capitalize") return arena.String(ChangeCase(self, Case::kCapitalize));
  return Classify(self, name);
}

}  // namespace potluck::model::jinja
