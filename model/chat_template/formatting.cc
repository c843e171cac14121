#include "model/chat_template/formatting.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "model/chat_template/operators.h"

namespace potluck::model::jinja {
namespace {

void QuoteText(const std::string& text, TextBuilder& out) {
  const bool doubled = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = doubled ? '"' : '\'';
  std::string quoted(1, quote);
  size_t length = 0;
  for (size_t i = 0; i < text.size(); i += length) {
    const char32_t c = CharacterAt(text, i, &length);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      quoted += {'\\', text[i]};
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\r') {
      quoted += "\\r";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD) {
      absl::StrAppendFormat(&quoted, "\\x%02x", static_cast<unsigned>(c));
    } else if (c != ' ' && IsSpace(c)) {
      absl::StrAppendFormat(&quoted, "\\u%04x", static_cast<unsigned>(c));
    } else {
      quoted.append(text, i, length);
    }
  }
  out.Append(quoted + quote, false);
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, TextBuilder& out) : style_(style), out_(out) {}

  absl::Status Write(const Value& value, int level) {
    switch (value.kind) {
      case Kind::kNone:
        Put("null");
        return absl::OkStatus();
      case Kind::kBool:
        Put(value.boolean ? "true" : "false");
        return absl::OkStatus();
      case Kind::kInt:
        Put(std::to_string(value.integer));
        return absl::OkStatus();
      case Kind::kFloat:
        Put(std::isnan(value.real) ? "NaN"
            : std::isinf(value.real)
                ? (value.real < 0 ? std::string("-Infinity") : std::string("Infinity"))
                : FloatText(value.real));
        return absl::OkStatus();
      case Kind::kString:
        WriteString(value.text->bytes);
        return absl::OkStatus();
      case Kind::kList:
      case Kind::kTuple:
        return WriteList(value.sequence->items, level);
      case Kind::kDict:
        return WriteDict(*value.dict, level);
      default:
        return Fail(TypeName(value), " can't be written as JSON");
    }
  }

 private:
  void Put(std::string_view text) { out_.Append(text, false); }

  void NewLine(int level) {
    if (!style_.is_indented) return;
    Put("\n");
    for (int i = 0; i < level; ++i) Put(style_.indent);
  }

  void WriteString(const std::string& text) {
    std::string json = "\"";
    size_t length = 0;
    for (size_t i = 0; i < text.size(); i += length) {
      const char32_t c = CharacterAt(text, i, &length);
      constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f";
      constexpr std::string_view kLetters = "\"\\nrtbf";
      const size_t escape = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : std::string::npos;
      if (escape != std::string::npos) {
        json += {'\\', kLetters[escape]};
      } else if (c > 0xFFFF && style_.ascii_only) {
        absl::StrAppendFormat(&json, "\\u%04x\\u%04x",
                              static_cast<unsigned>(0xD800 + ((c - 0x10000) >> 10)),
                              static_cast<unsigned>(0xDC00 + ((c - 0x10000) & 0x3FF)));
      } else if (c < 0x20 || (style_.ascii_only && c >= 0x7F)) {
        if (c == 0x7F) {
          json += '\x7F';
        } else {
          absl::StrAppendFormat(&json, "\\u%04x", static_cast<unsigned>(c));
        }
      } else {
        json.append(text, i, length);
      }
    }
    Put(json + '"');
  }

  absl::Status WriteList(const std::vector<Value>& items, int level) {
    Put("[");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) Put(style_.item_separator);
      NewLine(level + 1);
      POTLUCK_RETURN_IF_ERROR(Write(items[i], level + 1));
    }
    if (!items.empty()) NewLine(level);
    Put("]");
    return absl::OkStatus();
  }

  absl::Status WriteDict(const Dict& dict, int level) {
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) {
      const bool scalar =
          entry.first.Is(Kind::kString) || entry.first.Is(Kind::kNone) || entry.first.IsNumber();
      if (!scalar) return Fail("a JSON key can't be ", TypeName(entry.first));
      entries.push_back(&entry);
    }
    if (style_.sort_keys) {
      bool comparable = true;
      std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
        const absl::StatusOr<int> order = Compare(a->first, b->first);
        comparable = comparable && order.ok();
        return order.ok() && *order < 0;
      });
      if (!comparable) return Fail("keys of different types can't be sorted");
    }
    Put("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) Put(style_.item_separator);
      NewLine(level + 1);
      const Value& key = entries[i]->first;
      if (!key.Is(Kind::kString)) Put("\"");
      POTLUCK_RETURN_IF_ERROR(Write(key, level));
      if (!key.Is(Kind::kString)) Put("\"");
      Put(style_.key_separator);
      POTLUCK_RETURN_IF_ERROR(Write(entries[i]->second, level + 1));
    }
    if (!entries.empty()) NewLine(level);
    Put("}");
    return absl::OkStatus();
  }

  const JsonStyle& style_;
  TextBuilder& out_;
};

absl::Status QuoteItems(const std::vector<Value>& items, TextBuilder& out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.Append(", ", false);
    POTLUCK_RETURN_IF_ERROR(PrintQuoted(items[i], out));
  }
  return absl::OkStatus();
}

absl::Status QuoteDict(const Dict& dict, TextBuilder& out) {
  out.Append("{", false);
  for (size_t i = 0; i < dict.entries.size(); ++i) {
    if (i > 0) out.Append(", ", false);
    POTLUCK_RETURN_IF_ERROR(PrintQuoted(dict.entries[i].first, out));
    out.Append(": ", false);
    POTLUCK_RETURN_IF_ERROR(PrintQuoted(dict.entries[i].second, out));
  }
  out.Append("}", false);
  return absl::OkStatus();
}

}  // namespace

std::string FloatText(double real) {
  if (std::isnan(real)) return "nan";
  if (std::isinf(real)) return real < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), real, std::chars_format::scientific).ptr;
  std::string_view text(buffer, end - buffer);
  std::string sign;
  if (text[0] == '-') {
    sign = "-";
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  int exponent = 0;
  const char* digits_of_exponent = text.data() + e + 1 + (text[e + 1] == '+');
  std::from_chars(digits_of_exponent, text.data() + text.size(), exponent);
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);
  if (exponent < -4 || exponent >= 16) {
    std::string mantissa = digits.substr(0, 1);
    if (digits.size() > 1) mantissa += "." + digits.substr(1);
    return sign + mantissa +
           absl::StrFormat("e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return sign + "0." + std::string(-exponent - 1, '0') + digits;
  if (digits.size() < static_cast<size_t>(exponent) + 1) digits.resize(exponent + 1, '0');
  std::string fraction = digits.substr(exponent + 1);
  return sign + digits.substr(0, exponent + 1) + "." + (fraction.empty() ? "0" : fraction);
}

absl::Status PrintQuoted(const Value& value, TextBuilder& out) {
  const auto put = [&](std::string_view text) { out.Append(text, false); };
  switch (value.kind) {
    case Kind::kUndefined:
      put("Undefined");
      break;
    case Kind::kNone:
      put("None");
      break;
    case Kind::kBool:
      put(value.boolean ? "True" : "False");
      break;
    case Kind::kInt:
      put(std::to_string(value.integer));
      break;
    case Kind::kFloat:
      put(FloatText(value.real));
      break;
    case Kind::kString:
      QuoteText(value.text->bytes, out);
      break;
    case Kind::kTuple:
      put("(");
      POTLUCK_RETURN_IF_ERROR(QuoteItems(value.sequence->items, out));
      put(value.sequence->items.size() == 1 ? ",)" : ")");
      break;
    case Kind::kView:
      put(absl::StrCat(value.sequence->label, "(["));
      POTLUCK_RETURN_IF_ERROR(QuoteItems(value.sequence->items, out));
      put("])");
      break;
    case Kind::kList:
      put("[");
      POTLUCK_RETURN_IF_ERROR(QuoteItems(value.sequence->items, out));
      put("]");
      break;
    case Kind::kDict:
      return QuoteDict(*value.dict, out);
    default:
      return Fail(TypeName(value), " can't be printed");
  }
  return absl::OkStatus();
}

absl::Status Print(const Value& value, TextBuilder& out) {
  if (value.Is(Kind::kUndefined)) return absl::OkStatus();
  out.Charge(WeightOf(value));
  if (!value.Is(Kind::kString)) return PrintQuoted(value, out);
  out.Append(*value.text);
  return absl::OkStatus();
}

absl::StatusOr<Value> ToText(Arena& arena, const Value& value) {
  if (value.Is(Kind::kString)) return value;
  TextBuilder text(arena);
  POTLUCK_RETURN_IF_ERROR(Print(value, text));
  return arena.String(text.Take());
}

absl::StatusOr<Value> ToJson(Arena& arena, const Value& value, const JsonStyle& style) {
  if (!arena.Charge(WeightOf(value))) return Value();
  TextBuilder text(arena);
  POTLUCK_RETURN_IF_ERROR(JsonWriter(style, text).Write(value, 0));
  return arena.String(text.Take());
}

}  // namespace potluck::model::jinja
