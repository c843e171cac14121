#include "model/bounded_json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::model {
namespace {

// Before the parse: a deep document must not cost a stack.
bool IsDeeperThan(std::string_view text, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

// Finds where a text stops being JSON, and a key that comes twice in one object.
struct Checker final : nlohmann::json_sax<Json> {
  size_t position = 0;
  std::optional<std::string> duplicate;
  std::vector<std::set<std::string>> keys;  // of the objects that are open

  bool parse_error(size_t at, const std::string&, const Json::exception&) override {
    position = at;
    return false;
  }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(Json::number_integer_t) override { return true; }
  bool number_unsigned(Json::number_unsigned_t) override { return true; }
  bool number_float(Json::number_float_t, const Json::string_t&) override { return true; }
  bool string(Json::string_t&) override { return true; }
  bool binary(Json::binary_t&) override { return true; }
  bool start_object(size_t) override {
    keys.emplace_back();
    return true;
  }
  bool end_object() override {
    keys.pop_back();
    return true;
  }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool key(Json::string_t& name) override {
    if (!keys.back().insert(name).second && !duplicate) duplicate = name;
    return true;
  }
};

// `position` counts the character that cannot stand there.
absl::Status NotJson(std::string_view text, size_t position) {
  if (text.empty()) return absl::InvalidArgumentError("empty, where JSON is expected");
  const std::string_view before = text.substr(0, std::min(position, text.size() + 1) - 1);
  const auto line = 1 + std::ranges::count(before, '\n');
  const size_t line_begin = before.rfind('\n') + 1;  // 0 where there is none
  return absl::InvalidArgumentError(absl::StrCat("not valid JSON at line ", line, ", column ",
                                                 before.size() - line_begin + 1,
                                                 position > text.size() ? ", its end" : ""));
}

}  // namespace

absl::StatusOr<Json> ParseBoundedJson(std::string_view text) {
  if (IsDeeperThan(text, kMaxJsonDepth)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the JSON nests deeper than ", kMaxJsonDepth, " levels"));
  }
  Checker checker;
  if (!Json::sax_parse(text.begin(), text.end(), &checker)) return NotJson(text, checker.position);
  if (checker.duplicate) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the JSON has the key \"", Printable(*checker.duplicate), "\" twice in one object"));
  }
  // A second pass: parsing with a callback looks through the whole parent after each part of it.
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

absl::StatusOr<Json> ParseJsonObject(std::string_view text, const std::string& where) {
  absl::StatusOr<Json> json = ParseBoundedJson(text);
  if (!json.ok()) return Annotate(json.status(), where);
  if (!json->is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": a JSON object is expected, not ", json->type_name()));
  }
  return json;
}

absl::StatusOr<Json> ReadJsonObject(const std::string& path, uint64_t max_bytes) {
  POTLUCK_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, max_bytes));
  return ParseJsonObject(text, path);
}

nlohmann::ordered_json OrderedMember(std::string_view text, std::string_view key) {
  using nlohmann::ordered_json;
  const auto keep = [key](int depth, ordered_json::parse_event_t event, ordered_json& parsed) {
    return depth != 1 || event != ordered_json::parse_event_t::key || parsed == key;
  };
  const ordered_json object = ordered_json::parse(text, keep, /*allow_exceptions=*/false);
  const auto found = object.find(key);
  return found == object.end() ? ordered_json() : *found;
}

const Json* FindKey(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> IntValue(const Json* value) {
  if (value == nullptr || !value->is_number()) return std::nullopt;
  if (value->is_number_unsigned()) {
    const auto number = value->get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value->is_number_integer()) return value->get<int64_t>();
  const auto number = value->get<double>();
  if (!(std::abs(number) < 9e15) || number != std::floor(number)) return std::nullopt;
  return static_cast<int64_t>(number);
}

std::optional<double> NumberValue(const Json* value) {
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->get<double>();
}

std::optional<bool> BoolValue(const Json* value) {
  if (value == nullptr || !value->is_boolean()) return std::nullopt;
  return value->get<bool>();
}

std::optional<std::string> StringValue(const Json* value) {
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return value->get<std::string>();
}

}  // namespace potluck::model
