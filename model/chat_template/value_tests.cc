#include "model/chat_template/value_tests.h"

#include <algorithm>
#include <cmath>

#include "common/status_macros.h"
#include "model/chat_template/filters.h"
#include "model/chat_template/formatting.h"
#include "model/chat_template/operators.h"

namespace potluck::model::jinja {
namespace {

using Plain = bool (*)(const Value&);

bool IsCased(const Value& value, Case wanted, Case other) {
  Arena arena(1 << 30);
  const absl::StatusOr<Value> text = ToText(arena, value);
  if (!text.ok()) return false;
  const Text& own = *text->text;
  return ChangeCase(own, wanted).bytes == own.bytes && ChangeCase(own, other).bytes != own.bytes;
}

constexpr std::pair<std::string_view, Plain> kPlain[] = {
    {"defined", [](const Value& v) { return !v.Is(Kind::kUndefined); }},
    {"undefined", [](const Value& v) { return v.Is(Kind::kUndefined); }},
    {"none", [](const Value& v) { return v.Is(Kind::kNone); }},
    {"boolean", [](const Value& v) { return v.Is(Kind::kBool); }},
    {"true", [](const Value& v) { return v.Is(Kind::kBool) && v.boolean; }},
    {"false", [](const Value& v) { return v.Is(Kind::kBool) && !v.boolean; }},
    {"integer", [](const Value& v) { return v.Is(Kind::kInt); }},
    {"float", [](const Value& v) { return v.Is(Kind::kFloat); }},
    {"number", [](const Value& v) { return v.IsNumber(); }},
    {"string", [](const Value& v) { return v.Is(Kind::kString); }},
    {"mapping", [](const Value& v) { return v.Is(Kind::kDict); }},
    {"callable", [](const Value& v) { return v.Is(Kind::kCallable); }},
    {"iterable",
     [](const Value& v) {
       return v.IsSequence() || v.Is(Kind::kUndefined) || v.Is(Kind::kString) ||
              v.Is(Kind::kDict) || v.Is(Kind::kLoop);
     }},
    {"sequence",
     [](const Value& v) {
       return v.Is(Kind::kList) || v.Is(Kind::kTuple) || v.Is(Kind::kRange) ||
              v.Is(Kind::kString) || v.Is(Kind::kDict) || v.Is(Kind::kUndefined);
     }},
    {"escaped", [](const Value&) { return false; }},
    {"lower", [](const Value& v) { return IsCased(v, Case::kLower, Case::kUpper); }},
    {"upper", [](const Value& v) { return IsCased(v, Case::kUpper, Case::kLower); }},
};

constexpr std::string_view kOneArgument[] = {
    "divisibleby", "eq", "==", "equalto", "ne",          "!=", "lt", "<",  "lessthan",
    "le",          "<=", "gt", ">",       "greaterthan", "ge", ">=", "in", "sameas"};

absl::StatusOr<bool> Divisible(const Value& value, const Value& by) {
  if (!value.IsNumber() || !by.IsNumber()) return Fail("a number is needed");
  if (by.AsDouble() == 0) return Fail("division by zero");
  if (!value.IsIntegral() || !by.IsIntegral()) {
    return std::fmod(value.AsDouble(), by.AsDouble()) == 0;
  }
  return by.AsInt() == -1 || value.AsInt() % by.AsInt() == 0;
}

bool Same(const Value& a, const Value& b) {
  if (a.kind != b.kind) return false;
  if (a.IsNumber() || a.Is(Kind::kNone)) return Equal(a, b);
  if (a.Is(Kind::kString)) return a.text == b.text;
  return a.IsSequence() ? a.sequence == b.sequence : a.dict == b.dict;
}

absl::StatusOr<bool> Related(Arena& arena, std::string_view name, const Value& a, const Value& b) {
  arena.Charge(std::min(WeightOf(a), WeightOf(b)));
  if (name == "divisibleby") return Divisible(a, b);
  if (name == "eq" || name == "==" || name == "equalto") return Equal(a, b);
  if (name == "ne" || name == "!=") return !Equal(a, b);
  if (name == "sameas") return Same(a, b);
  if (name == "in") {
    arena.Charge(WeightOf(b));
    return Contains(arena, a, b);
  }
  POTLUCK_ASSIGN_OR_RETURN(const int order, Compare(a, b));
  if (name == "lt" || name == "<" || name == "lessthan") return order < 0;
  if (name == "le" || name == "<=") return order <= 0;
  if (name == "gt" || name == ">" || name == "greaterthan") return order > 0;
  return order >= 0;
}

bool IsTestName(std::string_view name) {
  return std::any_of(std::begin(kPlain), std::end(kPlain),
                     [&](const auto& test) { return test.first == name; }) ||
         std::find(std::begin(kOneArgument), std::end(kOneArgument), name) !=
             std::end(kOneArgument) ||
         name == "odd" || name == "even" || name == "filter" || name == "test";
}

}  // namespace

absl::StatusOr<bool> ApplyTest(Arena& arena, std::string_view name, const Value& value,
                               const Arguments& arguments) {
  for (const auto& [known, test] : kPlain) {
    if (known != name) continue;
    POTLUCK_RETURN_IF_ERROR(Bind(name, arguments, {}, 0).status());
    return test(value);
  }
  if (name == "odd" || name == "even") {
    POTLUCK_RETURN_IF_ERROR(Bind(name, arguments, {}, 0).status());
    POTLUCK_ASSIGN_OR_RETURN(const bool even, Divisible(value, Value::Int(2)));
    return even == (name == "even");
  }
  if (name == "filter" || name == "test") {
    POTLUCK_RETURN_IF_ERROR(Bind(name, arguments, {}, 0).status());
    if (!value.Is(Kind::kString)) return false;
    return name == "filter" ? IsFilterName(value.text->bytes) : IsTestName(value.text->bytes);
  }
  if (!IsTestName(name)) return Fail("there is no test '", Printable(name, 40), "'");
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, Bind(name, arguments, {"other"}, 1));
  return Related(arena, name, value, bound[0]);
}

}  // namespace potluck::model::jinja
