// "%s of %d" % (...) and "{} of {}".format(...).
#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "model/chat_template/formatting.h"
#include "model/chat_template/operators.h"

namespace potluck::model::jinja {
namespace {

constexpr int kMaxWidth = 1000;

struct Spec {
  bool left = false;
  bool center = false;
  bool plus = false;
  bool zero = false;
  bool grouped = false;  // thousands
  int width = 0;
  int precision = -1;
  char type = 's';
};

bool TakeNumber(std::string_view format, size_t& i, int& number) {
  number = 0;
  while (i < format.size() && format[i] >= '0' && format[i] <= '9') {
    number = number * 10 + (format[i++] - '0');
    if (number > kMaxWidth) return false;
  }
  return true;
}

std::string Grouped(std::string digits) {
  size_t end = digits.find('.');
  if (end == std::string::npos) end = digits.size();
  const size_t begin = !digits.empty() && digits[0] == '-' ? 1 : 0;
  for (size_t i = end; i > begin + 3; i -= 3) digits.insert(digits.begin() + (i - 3), ',');
  return digits;
}

absl::StatusOr<Text> Convert(Arena& arena, const Value& value, const Spec& spec) {
  if (spec.type == 's' || spec.type == 'r') {
    TextBuilder text(arena);
    text.Charge(WeightOf(value));
    POTLUCK_RETURN_IF_ERROR(spec.type == 's' ? Print(value, text) : PrintQuoted(value, text));
    Text converted = text.Take();
    if (spec.precision >= 0) {
      const std::vector<size_t> offsets = CharacterOffsets(converted.bytes);
      if (static_cast<size_t>(spec.precision) + 1 < offsets.size()) {
        converted = converted.Slice(0, offsets[spec.precision]);
      }
    }
    return converted;
  }
  if (!value.IsNumber()) return Fail("a number is needed, not ", TypeName(value));
  std::string digits;
  const double real = value.AsDouble();
  const int precision = spec.precision < 0 ? 6 : spec.precision;
  if (spec.type == 'd' || spec.type == 'i') {
    if (!value.IsIntegral() && !(std::abs(real) < 9e18)) return Fail("a number is too large");
    digits = std::to_string(value.IsIntegral() ? value.AsInt() : static_cast<int64_t>(real));
  } else if (spec.type == 'x' || spec.type == 'X' || spec.type == 'o') {
    if (!value.IsIntegral()) return Fail("a whole number is needed");
    const int64_t integer = value.AsInt();
    const uint64_t magnitude =
        integer < 0 ? 0 - static_cast<uint64_t>(integer) : static_cast<uint64_t>(integer);
    if (integer < 0) digits.push_back('-');
    digits += spec.type == 'x'   ? absl::StrFormat("%x", magnitude)
              : spec.type == 'X' ? absl::StrFormat("%X", magnitude)
                                 : absl::StrFormat("%o", magnitude);
  } else if (spec.type == 'f' || spec.type == 'F') {
    digits = absl::StrFormat("%.*f", precision, real);
  } else if (spec.type == 'e') {
    digits = absl::StrFormat("%.*e", precision, real);
  } else if (spec.type == 'g') {
    digits = absl::StrFormat("%.*g", precision, real);
  } else if (spec.type == '%') {
    digits = absl::StrFormat("%.*f%%", precision, real * 100);
  } else {
    return Fail("unknown conversion '", std::string(1, spec.type), "' in a format");
  }
  if (spec.grouped) digits = Grouped(digits);
  if (spec.plus && digits[0] != '-') digits.insert(digits.begin(), '+');
  return Text(digits, false);
}

void Padded(const Text& text, const Spec& spec, std::string_view fill, TextBuilder& out) {
  const int missing = std::max(0, spec.width - static_cast<int>(CountCharacters(text.bytes)));
  const bool is_number = spec.type != 's' && spec.type != 'r';
  const bool zeros = spec.zero && is_number && !spec.left;
  const size_t sign = zeros && text.size() > 0 && (text.bytes[0] == '-' || text.bytes[0] == '+');
  const int before = spec.left ? 0 : spec.center ? missing / 2 : missing;
  out.Append(text.Slice(0, sign));
  for (int i = 0; i < before; ++i) out.Append(zeros ? "0" : fill, false);
  out.Append(text.Slice(sign, text.size()));
  for (int i = before; i < missing; ++i) out.Append(fill, false);
}

absl::Status BadFormat() { return Fail("a format string is malformed"); }

// The value of the field `name` ("", "0", "name", "name.attribute", "name[key]").
absl::StatusOr<Value> Field(Arena& arena, std::string_view name, const Arguments& arguments,
                            size_t& next) {
  const size_t path = std::min(name.find_first_of(".["), name.size());
  const std::string_view head = name.substr(0, path);
  Value value;
  const bool is_index = head.find_first_not_of("0123456789") == std::string_view::npos;
  if (is_index) {
    size_t i = 0;
    int index = 0;
    if (!TakeNumber(head, i, index)) return BadFormat();
    const size_t position = head.empty() ? next++ : static_cast<size_t>(index);
    if (position >= arguments.positional.size()) return Fail("a format lacks an argument");
    value = arguments.positional[position];
  } else {
    const auto& named = arguments.named;
    const auto found = std::find_if(named.begin(), named.end(),
                                    [&](const auto& entry) { return entry.first == head; });
    if (found == named.end()) return Fail("a format lacks '", Printable(head, 40), "'");
    value = found->second;
  }
  if (path == name.size()) return value;
  std::string_view key = name.substr(path + 1);
  if (name[path] == '[') {
    if (key.empty() || key.back() != ']') return BadFormat();
    key.remove_suffix(1);
  }
  POTLUCK_ASSIGN_OR_RETURN(value, GetItem(arena, value, arena.String(key, false)));
  if (value.Is(Kind::kUndefined)) return Fail("a format lacks '", Printable(key, 40), "'");
  return value;
}

absl::StatusOr<Spec> ParseBraceSpec(std::string_view text, std::string& fill) {
  Spec spec;
  size_t i = 0, length = 0;
  fill.assign(1, ' ');
  char align = '\0';
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^'; };
  if (!text.empty()) {
    CharacterAt(text, 0, &length);
    if (length < text.size() && is_align(text[length])) {
      fill = std::string(text.substr(0, length));
      align = text[length];
      i = length + 1;
    } else if (is_align(text[0])) {
      align = text[i++];
    }
  }
  if (i < text.size() && text[i] == '+') spec.plus = ++i > 0;
  if (i < text.size() && text[i] == '0') spec.zero = ++i > 0;
  if (!TakeNumber(text, i, spec.width)) return BadFormat();
  if (i < text.size() && text[i] == ',') spec.grouped = ++i > 0;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (!TakeNumber(text, i, spec.precision)) return BadFormat();
  }
  spec.type = i < text.size() ? text[i++] : '\0';
  if (i != text.size()) return BadFormat();
  spec.left = align == '<';
  spec.center = align == '^';
  if (align == '>') spec.zero = false;
  return spec;
}

absl::Status FormatField(Arena& arena, std::string_view field, const Arguments& arguments,
                         size_t& next, TextBuilder& out) {
  const size_t colon = std::min(field.find(':'), field.size());
  std::string_view name = field.substr(0, colon);
  char conversion = '\0';
  if (name.size() >= 2 && name[name.size() - 2] == '!') {
    conversion = name.back();
    name.remove_suffix(2);
  }
  POTLUCK_ASSIGN_OR_RETURN(const Value value, Field(arena, name, arguments, next));
  std::string fill;
  const bool has_spec = colon < field.size();
  POTLUCK_ASSIGN_OR_RETURN(
      Spec spec, ParseBraceSpec(has_spec ? field.substr(colon + 1) : std::string_view(), fill));
  if (spec.type == '\0') {
    spec.type = conversion == 'r' ? 'r' : value.Is(Kind::kFloat) && spec.precision >= 0 ? 'g' : 's';
    const bool right = value.IsNumber() && !value.Is(Kind::kBool);
    if (!spec.center && !right && field.find('>', colon) == std::string_view::npos) {
      spec.left = true;
    }
    if (value.Is(Kind::kInt) && (spec.grouped || spec.zero || spec.plus)) spec.type = 'd';
  } else if (spec.type == 's' && !spec.center && field.find('>', colon) == std::string_view::npos) {
    spec.left = true;
  }
  POTLUCK_ASSIGN_OR_RETURN(const Text text, Convert(arena, value, spec));
  Padded(text, spec, fill, out);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Value> FormatPercent(Arena& arena, const Text& format, const Arguments& arguments,
                                    const Value& mapping) {
  TextBuilder out(arena);
  size_t next = 0;
  bool named = false;
  const std::string& bytes = format.bytes;
  for (size_t i = 0; i < bytes.size() && !arena.exhausted();) {
    const size_t percent = std::min(bytes.find('%', i), bytes.size());
    out.Append(format.Slice(i, percent));
    i = percent + 1;
    if (percent == bytes.size()) break;
    if (i >= bytes.size()) return BadFormat();
    if (bytes[i] == '%') {
      out.Append(format.Slice(i, i + 1));
      ++i;
      continue;
    }
    Value value;
    if (bytes[i] == '(') {
      const size_t end = bytes.find(')', i);
      if (end == std::string::npos || !mapping.Is(Kind::kDict)) return BadFormat();
      const Value* found = mapping.dict->Find(std::string_view(bytes).substr(i + 1, end - i - 1));
      if (found == nullptr) return Fail("a format lacks one of its names");
      value = *found;
      named = true;
      i = end + 1;
    }
    Spec spec;
    for (; i < bytes.size() && std::string_view("-+ 0#").find(bytes[i]) != std::string_view::npos;
         ++i) {
      spec.left = spec.left || bytes[i] == '-';
      spec.plus = spec.plus || bytes[i] == '+';
      spec.zero = spec.zero || bytes[i] == '0';
    }
    if (!TakeNumber(bytes, i, spec.width)) return BadFormat();
    if (i < bytes.size() && bytes[i] == '.') {
      ++i;
      if (!TakeNumber(bytes, i, spec.precision)) return BadFormat();
    }
    if (i >= bytes.size()) return BadFormat();
    spec.type = bytes[i++];
    if (spec.type == '%') return BadFormat();
    if (!named) {
      if (next >= arguments.positional.size()) return Fail("a format lacks an argument");
      value = arguments.positional[next++];
    }
    POTLUCK_ASSIGN_OR_RETURN(const Text text, Convert(arena, value, spec));
    Padded(text, spec, " ", out);
  }
  const bool unused = !named && next < arguments.positional.size() && !mapping.Is(Kind::kDict) &&
                      !mapping.Is(Kind::kList);
  if (unused) return Fail("a format does not use all of its arguments");
  return arena.String(out.Take());
}

absl::StatusOr<Value> FormatBraces(Arena& arena, const Text& format, const Arguments& arguments) {
  TextBuilder out(arena);
  size_t next = 0;
  const std::string& bytes = format.bytes;
  for (size_t i = 0; i < bytes.size() && !arena.exhausted();) {
    const size_t brace = std::min(bytes.find_first_of("{}", i), bytes.size());
    out.Append(format.Slice(i, brace));
    if (brace == bytes.size()) break;
    if (brace + 1 < bytes.size() && bytes[brace + 1] == bytes[brace]) {
      out.Append(format.Slice(brace, brace + 1));
      i = brace + 2;
      continue;
    }
    const size_t end = bytes.find('}', brace);
    if (bytes[brace] == '}' || end == std::string::npos) return BadFormat();
    const auto field = std::string_view(bytes).substr(brace + 1, end - brace - 1);
    if (field.find('{') != std::string_view::npos) return BadFormat();
    POTLUCK_RETURN_IF_ERROR(FormatField(arena, field, arguments, next, out));
    i = end + 1;
  }
  return arena.String(out.Take());
}

}  // namespace potluck::model::jinja
