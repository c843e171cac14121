// Filters over lists, dicts and whatever can be gone through.
#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "model/chat_template/filters.h"
#include "model/chat_template/formatting.h"
#include "model/chat_template/methods.h"
#include "model/chat_template/operators.h"
#include "model/chat_template/value_tests.h"

namespace potluck::model::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Values = std::vector<Value>;

// The item at an attribute path "a.b.0" of `value`.
Result ItemAt(Arena& arena, Value value, const Value& path) {
  if (!path.Is(Kind::kString)) return Subscript(arena, value, path);
  const std::vector<std::string> parts = absl::StrSplit(path.text->bytes, '.');
  for (const std::string& part : parts) {
    int64_t index = 0;
    const bool is_index = !part.empty() && part[0] != '-' && absl::SimpleAtoi(part, &index);
    const Value key = is_index ? Value::Int(index) : arena.String(part, true);
    POTLUCK_ASSIGN_OR_RETURN(value, Subscript(arena, value, key));
  }
  return value;
}

// `value`'s sort key: the attribute where one is asked for, without case where wanted.
Result SortKey(Arena& arena, const Value& value, const Value& attribute, bool with_case) {
  Value key = value;
  const bool has_attribute = !attribute.Is(Kind::kUndefined) && !attribute.Is(Kind::kNone);
  if (has_attribute) {
    POTLUCK_ASSIGN_OR_RETURN(key, ItemAt(arena, value, attribute));
  }
  if (with_case || !key.Is(Kind::kString)) return key;
  return arena.String(ChangeCase(*key.text, Case::kLower));
}

absl::Status SortByKeys(Arena& arena, std::vector<std::pair<Value, Value>>& keyed, bool reverse) {
  for (const auto& entry : keyed) arena.Charge(32 * WeightOf(entry.first));
  absl::Status error;
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    const absl::StatusOr<int> order =
        reverse ? Compare(b.first, a.first) : Compare(a.first, b.first);
    if (!order.ok()) error.Update(order.status());
    return order.ok() && *order < 0;
  });
  return error;
}

Result Length(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  const std::optional<int64_t> length = jinja::Length(call.input);
  if (!length) return Fail(TypeName(call.input), " has no length");
  return Value::Int(*length);
}

Result First(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  return items.empty() ? call.arena.Undefined("the first of nothing") : items.front();
}

Result Last(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  if (call.input.Is(Kind::kGenerator)) return Fail("a generator has no last item");
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  return items.empty() ? call.arena.Undefined("the last of nothing") : items.back();
}

Result ToList(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  POTLUCK_ASSIGN_OR_RETURN(Values items, Iterate(call.arena, call.input));
  return call.arena.List(std::move(items));
}

Result Items(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  Values items;
  if (call.input.Is(Kind::kUndefined)) return call.arena.List({}, Kind::kGenerator);
  if (!call.input.Is(Kind::kDict)) return Fail("items takes a dict, not ", TypeName(call.input));
  for (const auto& [key, value] : call.input.dict->entries) {
    items.push_back(call.arena.List({key, value}, Kind::kTuple));
  }
  return call.arena.List(std::move(items), Kind::kGenerator);
}

Result Join(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const Values bound, call.Take({"d", "attribute"}));
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  TextBuilder text(call.arena);
  const bool has_attribute = !bound[1].Is(Kind::kUndefined) && !bound[1].Is(Kind::kNone);
  for (size_t i = 0; i < items.size() && !call.arena.exhausted(); ++i) {
    if (i > 0) POTLUCK_RETURN_IF_ERROR(Print(bound[0], text));
    Value item = items[i];
    if (has_attribute) {
      POTLUCK_ASSIGN_OR_RETURN(item, ItemAt(call.arena, item, bound[1]));
    }
    POTLUCK_RETURN_IF_ERROR(Print(item, text));
  }
  return call.arena.String(text.Take());
}

Result Reverse(const FilterCall& call) {
  POTLUCK_RETURN_IF_ERROR(call.Take({}).status());
  POTLUCK_ASSIGN_OR_RETURN(Values items, Iterate(call.arena, call.input));
  std::reverse(items.begin(), items.end());
  if (!call.input.Is(Kind::kString)) return call.arena.List(std::move(items), Kind::kGenerator);
  TextBuilder text(call.arena);
  for (const Value& item : items) text.Append(*item.text);
  return call.arena.String(text.Take());
}

Result Sort(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const Values bound,
                           call.Take({"reverse", "case_sensitive", "attribute"}));
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : items) {
    POTLUCK_ASSIGN_OR_RETURN(const Value key,
                             SortKey(call.arena, item, bound[2], IsTrue(bound[1])));
    keyed.emplace_back(key, item);
  }
  POTLUCK_RETURN_IF_ERROR(SortByKeys(call.arena, keyed, IsTrue(bound[0])));
  Values sorted;
  for (const auto& entry : keyed) sorted.push_back(entry.second);
  return call.arena.List(std::move(sorted));
}

Result DictSort(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const Values bound, call.Take({"case_sensitive", "by", "reverse"}));
  if (!call.input.Is(Kind::kDict)) return Fail("dictsort takes a dict");
  const bool by_value = bound[1].Is(Kind::kString) && bound[1].text->bytes == "value";
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, value] : call.input.dict->entries) {
    POTLUCK_ASSIGN_OR_RETURN(const Value sort_key, SortKey(call.arena, by_value ? value : key,
                                                           Value(), IsTrue(bound[0])));
    keyed.emplace_back(sort_key, call.arena.List({key, value}, Kind::kTuple));
  }
  POTLUCK_RETURN_IF_ERROR(SortByKeys(call.arena, keyed, IsTrue(bound[2])));
  Values sorted;
  for (const auto& entry : keyed) sorted.push_back(entry.second);
  return call.arena.List(std::move(sorted));
}

Result Extreme(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const Values bound, call.Take({"case_sensitive", "attribute"}));
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  if (items.empty()) return call.arena.Undefined("an extreme of nothing");
  std::optional<std::pair<Value, Value>> best;
  for (const Value& item : items) {
    POTLUCK_ASSIGN_OR_RETURN(const Value key,
                             SortKey(call.arena, item, bound[1], IsTrue(bound[0])));
    if (best) {
      POTLUCK_ASSIGN_OR_RETURN(const int order, Compare(key, best->first));
      if (call.name == "max" ? order <= 0 : order >= 0) continue;
    }
    best = {key, item};
  }
  return best->second;
}

Result Sum(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const Values bound, call.Take({"attribute", "start"}));
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  Value sum = bound[1].Is(Kind::kUndefined) ? Value::Int(0) : bound[1];
  if (sum.Is(Kind::kString)) return Fail("sum can't add strings");
  for (const Value& item : items) {
    Value addend = item;
    if (!bound[0].Is(Kind::kUndefined) && !bound[0].Is(Kind::kNone)) {
      POTLUCK_ASSIGN_OR_RETURN(addend, ItemAt(call.arena, item, bound[0]));
    }
    if (call.arena.exhausted()) break;
    POTLUCK_ASSIGN_OR_RETURN(sum, Calculate(call.arena, "+", sum, addend));
  }
  return sum;
}

Result Unique(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const Values bound, call.Take({"case_sensitive", "attribute"}));
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  Values keys, unique;
  for (const Value& item : items) {
    POTLUCK_ASSIGN_OR_RETURN(const Value key,
                             SortKey(call.arena, item, bound[1], IsTrue(bound[0])));
    if (key.Is(Kind::kList) || key.Is(Kind::kDict)) return Fail("unique can't tell these apart");
    if (!call.arena.Charge(static_cast<int64_t>(keys.size()) * WeightOf(key))) break;
    const auto same = [&](const Value& other) { return Equal(key, other); };
    if (std::any_of(keys.begin(), keys.end(), same)) continue;
    keys.push_back(key);
    unique.push_back(item);
  }
  return call.arena.List(std::move(unique), Kind::kGenerator);
}

// The arguments behind the first `count`.
Arguments Tail(const Arguments& arguments, size_t count) {
  Arguments tail = arguments;
  count = std::min(count, tail.positional.size());
  tail.positional.erase(tail.positional.begin(), tail.positional.begin() + count);
  return tail;
}

Result Map(const FilterCall& call) {
  if (!IsTrue(call.input)) return call.arena.List({}, Kind::kGenerator);
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  Value attribute, otherwise;
  for (const auto& [name, value] : call.arguments.named) {
    if (name == "attribute") attribute = value;
    if (name == "default") otherwise = value;
  }
  const bool by_attribute = call.arguments.positional.empty();
  if (by_attribute && attribute.Is(Kind::kUndefined)) return Fail("map needs a filter");
  if (!by_attribute && !call.arguments.positional[0].Is(Kind::kString)) {
    return Fail("map needs a filter's name");
  }
  Values mapped;
  for (const Value& item : items) {
    if (!call.arena.Charge(32)) break;
    Value result;
    if (by_attribute) {
      POTLUCK_ASSIGN_OR_RETURN(result, ItemAt(call.arena, item, attribute));
      if (result.Is(Kind::kUndefined) && !otherwise.Is(Kind::kUndefined)) result = otherwise;
    } else {
      const std::string& filter = call.arguments.positional[0].text->bytes;
      if (filter == "map") return Fail("map can't run itself");
      call.arena.Charge(WeightOf(item));
      POTLUCK_ASSIGN_OR_RETURN(result,
                               ApplyFilter(call.arena, filter, item, Tail(call.arguments, 1)));
    }
    mapped.push_back(result);
  }
  return call.arena.List(std::move(mapped), Kind::kGenerator);
}

// select, reject, selectattr and rejectattr.
Result Select(const FilterCall& call) {
  if (!IsTrue(call.input)) return call.arena.List({}, Kind::kGenerator);
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  const bool by_attribute = call.name == "selectattr" || call.name == "rejectattr";
  const bool wanted = call.name == "select" || call.name == "selectattr";
  const Values& given = call.arguments.positional;
  if (by_attribute && given.empty()) return Fail(call.name, " needs an attribute");
  const size_t test_at = by_attribute;
  Values kept;
  for (const Value& item : items) {
    if (!call.arena.Charge(32)) break;
    Value tested = item;
    if (by_attribute) {
      POTLUCK_ASSIGN_OR_RETURN(tested, ItemAt(call.arena, item, given[0]));
    }
    bool holds = IsTrue(tested);
    if (given.size() > test_at) {
      if (!given[test_at].Is(Kind::kString)) return Fail(call.name, " needs a test's name");
      call.arena.Charge(WeightOf(tested));
      POTLUCK_ASSIGN_OR_RETURN(holds, ApplyTest(call.arena, given[test_at].text->bytes, tested,
                                                Tail(call.arguments, test_at + 1)));
    }
    if (holds == wanted) kept.push_back(item);
  }
  return call.arena.List(std::move(kept), Kind::kGenerator);
}

Result Attribute(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const Values bound, call.Take({"name"}, 1));
  if (!bound[0].Is(Kind::kString)) return Fail("attr takes a name");
  const std::string& name = bound[0].text->bytes;
  // Python's getattr: attributes and methods, but never items.
  if (call.input.Is(Kind::kDict)) {
    Arena& arena = call.arena;
    return GetAttribute(arena, arena.NewDict({}), name);
  }
  if (call.input.Is(Kind::kUndefined)) return call.arena.Undefined(name);
  return GetAttribute(call.arena, call.input, name);
}

Result Batch(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const Values bound, call.Take({"linecount", "fill_with"}, 1));
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  if (!bound[0].IsIntegral() || bound[0].AsInt() < 1) return Fail("batch takes a size");
  const auto size = static_cast<size_t>(bound[0].AsInt());
  Values rows, row;
  for (const Value& item : items) {
    row.push_back(item);
    if (row.size() == size) rows.push_back(call.arena.List(std::exchange(row, {})));
  }
  const bool fills = !bound[1].Is(Kind::kUndefined) && !bound[1].Is(Kind::kNone);
  while (fills && !row.empty() && row.size() < size && call.arena.Charge(16)) {
    row.push_back(bound[1]);
  }
  if (!row.empty()) rows.push_back(call.arena.List(row));
  return call.arena.List(std::move(rows), Kind::kGenerator);
}

Result SliceFilter(const FilterCall& call) {
  POTLUCK_ASSIGN_OR_RETURN(const Values bound, call.Take({"slices", "fill_with"}, 1));
  POTLUCK_ASSIGN_OR_RETURN(const Values items, Iterate(call.arena, call.input));
  if (!bound[0].IsIntegral() || bound[0].AsInt() < 1) return Fail("slice takes a count");
  const auto slices = static_cast<size_t>(bound[0].AsInt());
  const size_t each = items.size() / slices, longer = items.size() % slices;
  const bool fills = !bound[1].Is(Kind::kUndefined) && !bound[1].Is(Kind::kNone);
  Values rows;
  size_t begin = 0;
  for (size_t i = 0; i < slices && call.arena.Charge(64); ++i) {
    const size_t end = begin + each + (i < longer);
    Values row(items.begin() + begin, items.begin() + end);
    if (fills && i >= longer) row.push_back(bound[1]);
    rows.push_back(call.arena.List(std::move(row)));
    begin = end;
  }
  return call.arena.List(std::move(rows), Kind::kGenerator);
}

}  // namespace

const std::vector<FilterEntry>& SequenceFilters() {
  static const std::vector<FilterEntry> filters = {
      {"attr", Attribute}, {"batch", Batch},       {"count", Length},      {"dictsort", DictSort},
      {"first", First},    {"items", Items},       {"join", Join},         {"last", Last},
      {"length", Length},  {"list", ToList},       {"map", Map},           {"max", Extreme},
      {"min", Extreme},    {"reject", Select},     {"rejectattr", Select}, {"reverse", Reverse},
      {"select", Select},  {"selectattr", Select}, {"slice", SliceFilter}, {"sort", Sort},
      {"sum", Sum},        {"unique", Unique},
  };
  return filters;
}

}  // namespace potluck::model::jinja
