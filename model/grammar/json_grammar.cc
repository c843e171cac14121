#include "model/grammar/json_grammar.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/bounded_json.h"
#include "model/grammar/number_grammar.h"
#include "model/grammar/pattern_grammar.h"

namespace potluck::model {
namespace {

using nlohmann::ordered_json;

constexpr int kMaxDepth = 64;
constexpr int kMostVisits = 10000;     // of parts of a schema, which may name each other
constexpr int64_t kMaxCount = 100000;  // of items or characters
constexpr int64_t kUnbounded = -1;

struct SharedRule {
  const char* name;
  const char* body;
};
// Each is written out where it is used, with those that it uses.
constexpr SharedRule kSharedRules[] = {
    {"value", "object | array | string | number | boolean | null"},
    {"object", R"("{" (member (", " member)*)? "}")"},
    {"member", R"(string ": " value)"},
    {"array", R"("[" (value (", " value)*)? "]")"},
    {"string", R"("\"" char* "\"")"},
    {"char", R"([^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))"},
    {"number", R"("-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?)"},
    {"integer", R"("-"? ("0" | [1-9] [0-9]{0,15}))"},
    {"boolean", R"("true" | "false")"},
    {"null", R"("null")"},
    {"key-char", R"([^"\\\x00-\x1F])"},
    {"fraction", R"("." [0-9]{1,16})"},
    {"some-fraction", R"("." [0-9]{0,15} [1-9])"},
    {"no-fraction", R"("." "0"{1,16})"},
    {"date", R"([0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [12] [0-9] | "3" [01]))"},
    {"time",
     R"(([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,9})? ("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]))"},
    {"date-time", R"(date "T" time)"},
    {"uuid",
     R"([0-9a-fA-F]{8} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{12})"}};

// They restrict, and nothing here would hold them.
constexpr const char* kUnknown[] = {"not",
                                    "if",
                                    "patternProperties",
                                    "dependentRequired",
                                    "dependentSchemas",
                                    "contains",
                                    "propertyNames",
                                    "unevaluatedItems",
                                    "unevaluatedProperties",
                                    "multipleOf",
                                    "uniqueItems",
                                    "minProperties",
                                    "maxProperties"};

// They only say something about a value.
constexpr const char* kAnnotations[] = {
    "title", "description", "default",  "examples",  "$schema", "$id",        "$comment",
    "$defs", "definitions", "readOnly", "writeOnly", "strict",  "deprecated", "discriminator"};

std::string Counted(std::string_view what, int64_t least, int64_t most) {
  const std::string bound = most == kUnbounded ? "" : absl::StrCat(most);
  return absl::StrCat("(", ToAbsl(what), "){", least, ",", bound, "}");
}

}  // namespace

std::string GbnfLiteral(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
      case '\\':
        quoted += '\\';
        quoted += c;
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\r':
        quoted += "\\r";
        break;
      case '\t':
        quoted += "\\t";
        break;
      default:
        quoted += c;
    }
  }
  return quoted + "\"";
}

std::string CanonicalJson(const ordered_json& value) {
  std::vector<std::string> parts;
  if (value.is_object()) {
    for (const auto& [key, member] : value.items())
      parts.push_back(absl::StrCat(CanonicalJson(key), ": ", CanonicalJson(member)));
    return absl::StrCat("{", absl::StrJoin(parts, ", "), "}");
  }
  if (value.is_array()) {
    for (const ordered_json& item : value) parts.push_back(CanonicalJson(item));
    return absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
  }
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

class SchemaRules::Converter {
 public:
  absl::StatusOr<std::string> Convert(const ordered_json& schema) {
    root_ = &schema;
    references_.clear();
    const size_t before = rules_.size();
    absl::StatusOr<std::string> expression = Visit(schema, "#", 0);
    if (!expression.ok()) rules_.resize(before);  // some lack their bodies
    return expression;
  }

  std::string Finish(std::string_view root) const {
    std::string text = absl::StrCat("root ::= ", ToAbsl(root), "\n");
    for (const auto& [name, body] : rules_) absl::StrAppend(&text, name, " ::= ", body, "\n");
    for (const SharedRule& rule : kSharedRules) {
      if (used_.contains(rule.name)) absl::StrAppend(&text, rule.name, " ::= ", rule.body, "\n");
    }
    return text;
  }

  void AddNamed(std::string name, std::string body) {
    rules_.emplace_back(std::move(name), std::move(body));
  }

  std::string Use(const std::string& name) {
    for (const SharedRule& rule : kSharedRules) {
      if (name != rule.name || !used_.insert(name).second) continue;
      for (const SharedRule& other : kSharedRules) {
        // Names are only parts of words in texts, where one more rule does no harm.
        if (std::string_view(rule.body).find(other.name) != std::string_view::npos) Use(other.name);
      }
    }
    return name;
  }

 private:
  static absl::Status Error(const std::string& at, absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("schema, ", at, ": ", what));
  }

  std::string AddRule(std::string body) {
    std::string name = absl::StrCat("r", rules_.size());
    rules_.emplace_back(name, std::move(body));
    return name;
  }

  // An expression for the schema's values, fit to stand in a sequence.
  absl::StatusOr<std::string> Visit(const ordered_json& schema, const std::string& at, int depth) {
    if (depth > kMaxDepth) return Error(at, "nested too deeply");
    if (++visits_ > kMostVisits) return Error(at, "the schema is too large");
    if (schema.is_boolean()) {
      if (schema.get<bool>()) return Use("value");
      return Error(at, "no value can be false's");
    }
    if (!schema.is_object()) return Error(at, "a schema is an object or a boolean");
    for (const char* keyword : kUnknown) {
      const auto found = schema.find(keyword);
      if (found != schema.end() && *found != false && !found->is_null())
        return Error(at, absl::StrCat("\"", keyword, "\" cannot be enforced here; leave it out"));
    }
    if (schema.contains("$ref")) return VisitReference(schema, at, depth);
    if (schema.contains("allOf")) return VisitAllOf(schema, at, depth);
    for (const char* keyword : {"anyOf", "oneOf"}) {
      if (schema.contains(keyword)) return VisitAnyOf(schema, keyword, at, depth);
    }
    if (const auto constant = schema.find("const"); constant != schema.end())
      return GbnfLiteral(CanonicalJson(*constant));
    if (const auto values = schema.find("enum"); values != schema.end())
      return VisitEnum(*values, at);
    return VisitType(schema, at, depth);
  }

  absl::StatusOr<std::string> VisitReference(const ordered_json& schema, const std::string& at,
                                             int depth) {
    for (const auto& [key, value] : schema.items()) {
      if (key != "$ref" && std::ranges::find(kAnnotations, key) == std::end(kAnnotations))
        return Error(at, absl::StrCat("\"", Printable(key),
                                      "\" beside $ref is not enforced; put "
                                      "both into allOf"));
    }
    POTLUCK_ASSIGN_OR_RETURN(const std::string reference, TextOf(schema["$ref"], at, "$ref"));
    if (const auto known = references_.find(reference); known != references_.end())
      return known->second;
    POTLUCK_ASSIGN_OR_RETURN(const ordered_json* target, Resolve(reference, at));
    // Before its body: it may refer to itself.
    const std::string name = AddRule("");
    references_[reference] = name;
    const size_t number = rules_.size() - 1;
    POTLUCK_ASSIGN_OR_RETURN(std::string body, Visit(*target, reference, depth + 1));
    rules_[number].second = std::move(body);
    return name;
  }

  absl::StatusOr<const ordered_json*> Resolve(const std::string& reference, const std::string& at) {
    const auto lost = Error(
        at, absl::StrCat("$ref \"", Printable(reference), "\" leads to nothing in this schema"));
    if (!reference.starts_with('#')) return lost;
    const ordered_json* target = root_;
    std::vector<std::string> steps = absl::StrSplit(reference.substr(1), '/');
    for (size_t i = 1; i < steps.size(); ++i) {
      const std::string key = absl::StrReplaceAll(steps[i], {{"~1", "/"}, {"~0", "~"}});
      if (target->is_object() && target->contains(key)) {
        target = &(*target)[key];
      } else {
        return lost;
      }
    }
    if (!steps.front().empty()) return lost;
    return target;
  }

  absl::StatusOr<std::string> VisitAllOf(const ordered_json& schema, const std::string& at,
                                         int depth) {
    const ordered_json& parts = schema["allOf"];
    if (!parts.is_array()) return Error(at, "allOf is an array of schemas");
    ordered_json merged = schema;
    merged.erase("allOf");
    for (const ordered_json& part : parts) {
      const ordered_json* source = &part;
      for (int hops = 0; source->is_object() && source->contains("$ref"); ++hops) {
        POTLUCK_ASSIGN_OR_RETURN(const std::string reference,
                                 TextOf((*source)["$ref"], at, "$ref"));
        POTLUCK_ASSIGN_OR_RETURN(source, Resolve(reference, at));
        if (hops > kMaxDepth) return Error(at, "$ref leads in a circle");
      }
      POTLUCK_RETURN_IF_ERROR(Merge(*source, at, merged));
    }
    return Visit(merged, at, depth + 1);
  }

  // What holds for both.
  static absl::Status Merge(const ordered_json& from, const std::string& at, ordered_json& into) {
    if (!from.is_object()) return Error(at, "only objects can be joined");
    for (const auto& [key, value] : from.items()) {
      if (std::ranges::find(kAnnotations, key) != std::end(kAnnotations)) continue;
      if (!into.contains(key)) {
        into[key] = value;
      } else if (key == "properties" && value.is_object() && into[key].is_object()) {
        for (const auto& [name, schema] : value.items()) {
          if (into[key].contains(name) && into[key][name] != schema)
            return Error(at, absl::StrCat("two schemas for \"", Printable(name), "\""));
          into[key][name] = schema;
        }
      } else if (key == "required" && value.is_array() && into[key].is_array()) {
        for (const ordered_json& name : value) into[key].push_back(name);
      } else if (into[key] != value) {
        return Error(at, absl::StrCat("two meanings of \"", Printable(key), "\" to be joined"));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> VisitAnyOf(const ordered_json& schema, const char* keyword,
                                         const std::string& at, int depth) {
    const ordered_json& parts = schema[keyword];
    if (!parts.is_array() || parts.empty())
      return Error(at, absl::StrCat(keyword, " is an array of schemas"));
    ordered_json others = ordered_json::object();
    for (const auto& [key, value] : schema.items()) {
      if (key != keyword && std::ranges::find(kAnnotations, key) == std::end(kAnnotations))
        others[key] = value;
    }
    std::vector<std::string> ways;
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string here = absl::StrCat(at, "/", keyword, "/", i);
      ordered_json part = parts[i];
      if (!others.empty()) part = {{"allOf", ordered_json::array({others, parts[i]})}};
      POTLUCK_ASSIGN_OR_RETURN(std::string way, Visit(part, here, depth + 1));
      ways.push_back(std::move(way));
    }
    return absl::StrCat("(", absl::StrJoin(ways, " | "), ")");
  }

  static absl::StatusOr<std::string> VisitEnum(const ordered_json& values, const std::string& at) {
    if (!values.is_array() || values.empty()) return Error(at, "enum is an array of values");
    std::vector<std::string> ways;
    for (const ordered_json& value : values) ways.push_back(GbnfLiteral(CanonicalJson(value)));
    return absl::StrCat("(", absl::StrJoin(ways, " | "), ")");
  }

  absl::StatusOr<std::string> VisitType(const ordered_json& schema, const std::string& at,
                                        int depth) {
    std::vector<std::string> types;
    if (const auto type = schema.find("type"); type == schema.end()) {
      types.push_back(ImpliedType(schema));
    } else if (type->is_array() && !type->empty()) {
      for (const ordered_json& one : *type) {
        POTLUCK_ASSIGN_OR_RETURN(types.emplace_back(), TextOf(one, at, "type"));
      }
    } else {
      POTLUCK_ASSIGN_OR_RETURN(types.emplace_back(), TextOf(*type, at, "type"));
    }
    std::vector<std::string> ways;
    for (const std::string& type : types) {
      POTLUCK_ASSIGN_OR_RETURN(std::string way, VisitOneType(type, schema, at, depth));
      ways.push_back(std::move(way));
    }
    return ways.size() == 1 ? ways.front() : absl::StrCat("(", absl::StrJoin(ways, " | "), ")");
  }

  static std::string ImpliedType(const ordered_json& schema) {
    constexpr std::pair<const char*, const char*> kImplied[] = {{"properties", "object"},
                                                                {"required", "object"},
                                                                {"additionalProperties", "object"},
                                                                {"items", "array"},
                                                                {"prefixItems", "array"},
                                                                {"minItems", "array"},
                                                                {"maxItems", "array"},
                                                                {"pattern", "string"},
                                                                {"minLength", "string"},
                                                                {"maxLength", "string"},
                                                                {"format", "string"},
                                                                {"minimum", "number"},
                                                                {"maximum", "number"},
                                                                {"exclusiveMinimum", "number"},
                                                                {"exclusiveMaximum", "number"}};
    for (const auto& [keyword, type] : kImplied) {
      if (schema.contains(keyword)) return type;
    }
    return "value";
  }

  absl::StatusOr<std::string> VisitOneType(const std::string& type, const ordered_json& schema,
                                           const std::string& at, int depth) {
    if (type == "object") return VisitObject(schema, at, depth);
    if (type == "array") return VisitArray(schema, at, depth);
    if (type == "string") return VisitString(schema, at);
    if (type == "number" || type == "integer") return VisitNumber(schema, type, at);
    if (type == "boolean" || type == "null" || type == "value") return Use(type);
    return Error(at, absl::StrCat("\"", Printable(type), "\" is no type"));
  }

  static absl::StatusOr<std::string> TextOf(const ordered_json& value, const std::string& at,
                                            absl::string_view keyword) {
    if (!value.is_string()) return Error(at, absl::StrCat(keyword, " is a string"));
    return value.get<std::string>();
  }

  static absl::StatusOr<int64_t> Count(const ordered_json& schema, const char* keyword,
                                       int64_t otherwise, const std::string& at) {
    const auto found = schema.find(keyword);
    if (found == schema.end()) return otherwise;
    if (!found->is_number_integer() || *found < 0 || *found > kMaxCount)
      return Error(at, absl::StrCat(keyword, " is a whole number from 0 to ", kMaxCount));
    return found->get<int64_t>();
  }

  // least and most, which does not lie below.
  static absl::StatusOr<std::pair<int64_t, int64_t>> Counts(const ordered_json& schema,
                                                            const char* least, const char* most,
                                                            const std::string& at) {
    POTLUCK_ASSIGN_OR_RETURN(const int64_t low, Count(schema, least, 0, at));
    POTLUCK_ASSIGN_OR_RETURN(const int64_t high, Count(schema, most, kUnbounded, at));
    if (high != kUnbounded && high < low) return Error(at, absl::StrCat(most, " is below ", least));
    return std::pair(low, high);
  }

  absl::StatusOr<std::string> VisitString(const ordered_json& schema, const std::string& at) {
    if (const auto format = schema.find("format"); format != schema.end() && format->is_string()) {
      const auto name = format->get<std::string>();
      for (const char* known : {"date", "time", "date-time", "uuid"}) {
        if (name == known) return absl::StrCat("\"\\\"\" ", Use(name), " \"\\\"\"");
      }
    }
    POTLUCK_ASSIGN_OR_RETURN(const auto counts, Counts(schema, "minLength", "maxLength", at));
    if (const auto pattern = schema.find("pattern"); pattern != schema.end()) {
      if (schema.contains("minLength") || schema.contains("maxLength"))
        return Error(at, "lengths beside a pattern are not enforced; say them in the pattern");
      POTLUCK_ASSIGN_OR_RETURN(const std::string text, TextOf(*pattern, at, "pattern"));
      const absl::StatusOr<std::string> content = PatternGrammar(text);
      if (!content.ok()) return Error(at, content.status().message());
      Use("char");
      return absl::StrCat("\"\\\"\" ", AddRule(*content), " \"\\\"\"");
    }
    if (counts.first == 0 && counts.second == kUnbounded) return Use("string");
    return absl::StrCat("\"\\\"\" ", Counted(Use("char"), counts.first, counts.second),
                        " \"\\\"\"");
  }

  absl::StatusOr<std::string> VisitNumber(const ordered_json& schema, const std::string& type,
                                          const std::string& at) {
    NumberBounds bounds;
    const auto read = [&](const char* keyword, bool open,
                          std::optional<NumberBounds::Bound>& bound) -> absl::Status {
      const auto found = schema.find(keyword);
      if (found == schema.end()) return absl::OkStatus();
      const double value = found->is_number() ? found->get<double>() : std::nan("");
      if (!(std::abs(value) <= kMostNumber) || value != std::trunc(value))
        return Error(at, absl::StrCat(keyword,
                                      " is enforced only where it is a whole number of at "
                                      "most 15 digits"));
      bound = {static_cast<int64_t>(value), open};
      return absl::OkStatus();
    };
    POTLUCK_RETURN_IF_ERROR(read("minimum", false, bounds.low));
    POTLUCK_RETURN_IF_ERROR(read("exclusiveMinimum", true, bounds.low));
    POTLUCK_RETURN_IF_ERROR(read("maximum", false, bounds.high));
    POTLUCK_RETURN_IF_ERROR(read("exclusiveMaximum", true, bounds.high));
    if (!bounds.low.has_value() && !bounds.high.has_value()) return Use(type);
    const std::string expression =
        type == "integer" ? BoundedInteger(bounds) : BoundedNumber(bounds);
    if (expression.empty()) return Error(at, "no number lies between its bounds");
    for (const char* fraction : {"fraction", "some-fraction", "no-fraction"}) Use(fraction);
    return AddRule(expression);
  }

  absl::StatusOr<std::string> VisitArray(const ordered_json& schema, const std::string& at,
                                         int depth) {
    if (const auto prefix = schema.find("prefixItems"); prefix != schema.end()) {
      if (!prefix->is_array()) return Error(at, "prefixItems is an array of schemas");
      if (const auto rest = schema.find("items"); rest != schema.end() && *rest != false)
        return Error(at, "items beside prefixItems is not enforced; leave it out");
      std::vector<std::string> items;
      for (const ordered_json& item : *prefix) {
        POTLUCK_ASSIGN_OR_RETURN(std::string one, Visit(item, at + "/prefixItems", depth + 1));
        items.push_back(std::move(one));
      }
      return absl::StrCat("\"[\" ", absl::StrJoin(items, " \", \" "), " \"]\"");
    }
    std::string item = "value";
    if (const auto items = schema.find("items"); items != schema.end()) {
      POTLUCK_ASSIGN_OR_RETURN(item, Visit(*items, at + "/items", depth + 1));
      item = AddRule(std::move(item));  // for it stands twice in what follows
    } else {
      Use(item);
    }
    POTLUCK_ASSIGN_OR_RETURN(const auto counts, Counts(schema, "minItems", "maxItems", at));
    const auto [least, most] = counts;
    if (most == 0) return GbnfLiteral("[]");
    const int64_t more = most == kUnbounded ? kUnbounded : most - 1;
    const std::string list = absl::StrCat(
        item, " ", Counted(absl::StrCat("\", \" ", item), std::max<int64_t>(least - 1, 0), more));
    return absl::StrCat("\"[\" ", least > 0 ? list : absl::StrCat("(", list, ")?"), " \"]\"");
  }

  absl::StatusOr<std::string> VisitObject(const ordered_json& schema, const std::string& at,
                                          int depth) {
    const auto others = schema.find("additionalProperties");
    if (!schema.contains("properties") && !schema.contains("required") &&
        (others == schema.end() || *others == true))
      return Use("object");
    std::set<std::string> required;
    if (const auto names = schema.find("required"); names != schema.end()) {
      if (!names->is_array()) return Error(at, "required is an array of names");
      for (const ordered_json& name : *names) {
        POTLUCK_ASSIGN_OR_RETURN(std::string one, TextOf(name, at, "each name in required"));
        required.insert(std::move(one));
      }
    }
    struct Member {
      std::string expression;
      bool required;
    };
    std::vector<Member> members;
    std::vector<std::string> names;
    if (const auto properties = schema.find("properties"); properties != schema.end()) {
      if (!properties->is_object()) return Error(at, "properties is an object of schemas");
      for (const auto& [name, property] : properties->items()) {
        POTLUCK_ASSIGN_OR_RETURN(
            const std::string value,
            Visit(property, absl::StrCat(at, "/properties/", Printable(name)), depth + 1));
        members.push_back({absl::StrCat(GbnfLiteral(CanonicalJson(name) + ": "), " ", value),
                           required.erase(name) > 0});
        names.push_back(name);
      }
    }
    POTLUCK_ASSIGN_OR_RETURN(const std::string other, OtherMember(schema, names, at, depth));
    if (other.empty() && !required.empty())
      return Error(at, absl::StrCat("\"", Printable(*required.begin()),
                                    "\" is required, but not one of the properties"));
    // Those that no schema is given for come first among the others.
    for (const std::string& name : required)
      members.push_back(
          {absl::StrCat(GbnfLiteral(CanonicalJson(name) + ": "), " ", Use("value")), true});
    // From the last to the first: what may follow a member, and what may come where none has come.
    std::string following =
        other.empty() ? "\"}\"" : AddRule(absl::StrCat("(\", \" ", other, ")* \"}\""));
    std::string beginning =
        other.empty() ? "\"}\""
                      : AddRule(absl::StrCat("(", other, " (\", \" ", other, ")*)? \"}\""));
    for (size_t i = members.size(); i-- > 0;) {
      const auto& [expression, must] = members[i];
      const std::string member = AddRule(expression);
      const std::string begun = absl::StrCat(member, " ", following);
      following = AddRule(must ? absl::StrCat("\", \" ", member, " ", following)
                               : absl::StrCat("(\", \" ", member, ")? ", following));
      beginning = AddRule(must ? begun : absl::StrCat(begun, " | ", beginning));
    }
    return absl::StrCat("\"{\" ", beginning);
  }

  // A member that `properties` does not name; empty where there is none.
  absl::StatusOr<std::string> OtherMember(const ordered_json& schema,
                                          const std::vector<std::string>& names,
                                          const std::string& at, int depth) {
    const auto others = schema.find("additionalProperties");
    if (others == schema.end() ? schema.contains("properties") : *others == false) return "";
    std::string value = "value";
    if (others == schema.end() || *others == true) {
      Use(value);
    } else {
      POTLUCK_ASSIGN_OR_RETURN(value, Visit(*others, at + "/additionalProperties", depth + 1));
    }
    return AddRule(absl::StrCat("\"\\\"\" ", KeyOtherThan(names), " \"\\\": \" ", value));
  }

  // A key's text without escapes, so that each text has one spelling.
  std::string KeyOtherThan(const std::vector<std::string>& names) {
    Use("key-char");
    std::set<std::string> spelt;
    for (const std::string& name : names) {
      if (CanonicalJson(name).find('\\') == std::string::npos) spelt.insert(name);
    }
    return KeyFrom("", spelt);
  }

  // What may follow `prefix` so that the whole is none of `names`, all of which begin so.
  std::string KeyFrom(const std::string& prefix, const std::set<std::string>& names) {
    if (names.empty()) return "key-char*";
    std::map<std::string, std::set<std::string>> by_next;  // character
    for (const std::string& name : names) {
      if (name == prefix) continue;
      const std::string_view rest = std::string_view(name).substr(prefix.size());
      const int length = std::max(DecodeUtf8(rest), 1);
      by_next[std::string(rest.substr(0, length))].insert(name);
    }
    std::vector<std::string> ways;
    std::string taken;
    for (const auto& [next, those] : by_next) {
      const std::string follows = KeyFrom(prefix + next, those);
      ways.push_back(absl::StrCat(GbnfLiteral(next), " ", follows));
      absl::StrAppend(&taken, next == "]" || next == "[" || next == "-" || next == "^" ? "\\" : "",
                      next);
    }
    ways.push_back(absl::StrCat("[^\"\\\\\\x00-\\x1F", taken, "] key-char*"));
    if (!names.contains(prefix)) ways.emplace_back("\"\"");
    return AddRule(absl::StrJoin(ways, " | "));
  }

  const ordered_json* root_ = nullptr;  // of the schema that is being converted
  int visits_ = 0;
  std::vector<std::pair<std::string, std::string>> rules_;  // names and bodies
  std::map<std::string, std::string> references_;           // their rules
  std::set<std::string> used_;                              // of the shared rules
};

SchemaRules::SchemaRules() : converter_(std::make_unique<Converter>()) {}
SchemaRules::~SchemaRules() = default;

absl::StatusOr<std::string> SchemaRules::Add(const ordered_json& schema) {
  return converter_->Convert(schema);
}

void SchemaRules::AddRule(std::string name, std::string body) {
  converter_->AddNamed(std::move(name), std::move(body));
}

std::string SchemaRules::Grammar(std::string_view root) const { return converter_->Finish(root); }

absl::StatusOr<std::string> SchemaGrammar(const ordered_json& schema) {
  SchemaRules rules;
  POTLUCK_ASSIGN_OR_RETURN(const std::string root, rules.Add(schema));
  return rules.Grammar(root);
}

absl::StatusOr<std::string> SchemaTextGrammar(std::string_view text) {
  POTLUCK_RETURN_IF_ERROR(ParseBoundedJson(text).status());
  return SchemaGrammar(ordered_json::parse(text));
}

}  // namespace potluck::model
