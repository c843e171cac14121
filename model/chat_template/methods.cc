#include "model/chat_template/methods.h"

#include <algorithm>

#include "common/status_macros.h"
#include "model/chat_template/operators.h"

namespace potluck::model::jinja {
namespace {

template <size_t N>
bool IsOneOf(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

constexpr std::string_view kDictMethods[] = {"items", "keys", "values", "get", "copy"};
constexpr std::string_view kListMethods[] = {"index", "count", "copy"};
constexpr std::string_view kTupleMethods[] = {"index", "count"};
constexpr std::string_view kDictChanges[] = {"pop", "update", "setdefault", "clear", "popitem"};
constexpr std::string_view kListChanges[] = {"append", "pop",     "insert", "extend",
                                             "remove", "reverse", "sort",   "clear"};

bool HasMethod(const Value& object, std::string_view name) {
  switch (object.kind) {
    case Kind::kString:
      return IsStringMethod(name);
    case Kind::kDict:
      return IsOneOf(name, kDictMethods) || IsOneOf(name, kDictChanges);
    case Kind::kList:
      return IsOneOf(name, kListMethods) || IsOneOf(name, kListChanges);
    case Kind::kTuple:
    case Kind::kRange:
      return IsOneOf(name, kTupleMethods);
    default:
      return false;
  }
}

Value LoopAttribute(Arena& arena, const Value& object, const std::string& name) {
  const Loop& loop = *object.loop;
  const auto size = static_cast<int64_t>(loop.items->size());
  const auto index = static_cast<int64_t>(loop.index);
  if (name == "index") return Value::Int(index + 1);
  if (name == "index0") return Value::Int(index);
  if (name == "revindex") return Value::Int(size - index);
  if (name == "revindex0") return Value::Int(size - index - 1);
  if (name == "first") return Value::Bool(index == 0);
  if (name == "last") return Value::Bool(index + 1 == size);
  if (name == "length") return Value::Int(size);
  if (name == "depth") return Value::Int(loop.depth);
  if (name == "depth0") return Value::Int(loop.depth - 1);
  if (name == "previtem" && index > 0) return (*loop.items)[index - 1];
  if (name == "nextitem" && index + 1 < size) return (*loop.items)[index + 1];
  if (name == "cycle" || name == "changed") {
    return arena.NewCallable({.type = Callable::Type::kLoopMethod, .name = name, .self = object});
  }
  return arena.Undefined(name);
}

absl::StatusOr<Value> CallDictMethod(Arena& arena, const Value& self, std::string_view name,
                                     const Arguments& arguments) {
  const auto& entries = self.dict->entries;
  if (!arena.Charge(32 * static_cast<int64_t>(entries.size()))) return Value();
  if (name == "get") {
    POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                             Bind("get", arguments, {"key", "default"}, 1));
    if (!arguments.named.empty()) return Fail("get takes no named arguments");
    for (const auto& [key, value] : entries) {
      if (Equal(key, bound[0])) return value;
    }
    return arguments.positional.size() > 1 ? bound[1] : Value::None();
  }
  POTLUCK_RETURN_IF_ERROR(Bind(name, arguments, {}, 0).status());
  if (name == "copy") return self;
  std::vector<Value> items;
  for (const auto& [key, value] : entries) {
    if (name == "items") {
      items.push_back(arena.List({key, value}, Kind::kTuple));
    } else {
      items.push_back(name == "keys" ? key : value);
    }
  }
  const char* label = name == "items" ? "dict_items" : name == "keys" ? "dict_keys" : "dict_values";
  return arena.List(std::move(items), Kind::kView, label);
}

absl::StatusOr<Value> CallListMethod(Arena& arena, const Value& self, std::string_view name,
                                     const Arguments& arguments) {
  if (name == "copy") return self;
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> bound, Bind(name, arguments, {"value"}, 1));
  arena.Charge(WeightOf(self));
  const auto& items = self.sequence->items;
  const auto is_it = [&](const Value& item) { return Equal(item, bound[0]); };
  if (name == "count") return Value::Int(std::count_if(items.begin(), items.end(), is_it));
  const auto found = std::find_if(items.begin(), items.end(), is_it);
  if (found == items.end()) return Fail("index: the value is not in the list");
  return Value::Int(found - items.begin());
}

}  // namespace

absl::StatusOr<Value> GetAttribute(Arena& arena, const Value& object, const std::string& name) {
  if (object.Is(Kind::kUndefined)) {
    const std::string missing = object.text == nullptr
                                    ? std::string("the value")
                                    : absl::StrCat("'", Printable(object.text->bytes, 40), "'");
    return Fail(missing, " is undefined and has no attribute '", Printable(name, 40), "'");
  }
  if (object.Is(Kind::kLoop)) return LoopAttribute(arena, object, name);
  if (HasMethod(object, name)) {
    return arena.NewCallable({.type = Callable::Type::kMethod, .name = name, .self = object});
  }
  if (object.Is(Kind::kDict) || object.Is(Kind::kNamespace)) {
    arena.Charge(static_cast<int64_t>(object.dict->entries.size()));
    if (const Value* value = object.dict->Find(name)) return *value;
  }
  if (object.Is(Kind::kCallable) && name == "name") {
    return arena.String(object.callable->name, true);
  }
  return arena.Undefined(name);
}

absl::StatusOr<Value> Subscript(Arena& arena, const Value& object, const Value& key) {
  if (object.Is(Kind::kUndefined)) {
    const std::string missing = object.text == nullptr
                                    ? std::string("the value")
                                    : absl::StrCat("'", Printable(object.text->bytes, 40), "'");
    return Fail(missing, " is undefined and has no items");
  }
  POTLUCK_ASSIGN_OR_RETURN(const Value item, GetItem(arena, object, key));
  if (!item.Is(Kind::kUndefined)) return item;
  if (!key.Is(Kind::kString)) return arena.Undefined("item");
  return GetAttribute(arena, object, key.text->bytes);
}

absl::StatusOr<Value> CallMethod(Arena& arena, const Value& self, std::string_view name,
                                 const Arguments& arguments) {
  if (self.Is(Kind::kString)) return CallStringMethod(arena, *self.text, name, arguments);
  const bool changes = self.Is(Kind::kDict)   ? IsOneOf(name, kDictChanges)
                       : self.Is(Kind::kList) ? IsOneOf(name, kListChanges)
                                              : false;
  if (changes) return Fail(name, " would change a value: templates may not; use namespace()");
  if (self.Is(Kind::kDict)) return CallDictMethod(arena, self, name, arguments);
  return CallListMethod(arena, self, name, arguments);
}

}  // namespace potluck::model::jinja
