// Values as text: as Python prints them, as JSON, and by format strings.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/chat_template/value.h"

namespace potluck::model::jinja {

// str(value): a string as it is, None as "None", an undefined value as nothing. Only strings keep
// their trust; every other text counts as somebody's.
absl::Status Print(const Value& value, TextBuilder& out);
absl::StatusOr<Value> ToText(Arena& arena, const Value& value);  // Print as a kString

// repr(value).
absl::Status PrintQuoted(const Value& value, TextBuilder& out);
std::string FloatText(double real);

struct JsonStyle {
  bool ascii_only = false;
  bool sort_keys = false;
  bool is_indented = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// json.dumps(value). All of it counts as somebody's text.
absl::StatusOr<Value> ToJson(Arena& arena, const Value& value, const JsonStyle& style);

// "..." % arguments; `mapping` is what %(name)s looks into.
absl::StatusOr<Value> FormatPercent(Arena& arena, const Text& format, const Arguments& arguments,
                                    const Value& mapping);
// "...".format(arguments)
absl::StatusOr<Value> FormatBraces(Arena& arena, const Text& format, const Arguments& arguments);

}  // namespace potluck::model::jinja
