#include "model/chat_template/value.h"

#include <algorithm>

#include "model/chat_template/operators.h"

namespace potluck::model::jinja {
namespace {

int DepthOf(const Value& value) {
  if (value.IsSequence()) return value.sequence->depth;
  return value.Is(Kind::kDict) ? value.dict->depth : 0;
}

// Two dicts are compared each entry with each.
int64_t ComparisonWeight(size_t entries) {
  const auto count = static_cast<int64_t>(std::min<size_t>(entries, 1 << 24));
  return count * count / 64;
}

bool IsUsualRole(std::string_view role) {
  constexpr std::string_view kRoles[] = {"system",   "user",    "assistant",   "tool", "developer",
                                         "function", "ipython", "observation", "model"};
  return std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
}

}  // namespace

int64_t WeightOf(const Value& value) {
  if (value.Is(Kind::kString)) return 1 + static_cast<int64_t>(value.text->size() / 16);
  if (value.IsSequence()) return value.sequence->weight;
  return value.Is(Kind::kDict) ? value.dict->weight : 1;
}

const Value* Dict::Find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name.Is(Kind::kString) && name.text->bytes == key) return &value;
  }
  return nullptr;
}

void Dict::Set(const Value& key, const Value& value) {
  for (auto& entry : entries) {
    if (Equal(entry.first, key)) {
      entry.second = value;
      return;
    }
  }
  entries.emplace_back(key, value);
}

const Value* Scope::Find(std::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent) {
    for (const auto& [known, value] : scope->variables) {
      if (known == name) return &value;
    }
  }
  return nullptr;
}

void Scope::Set(std::string_view name, const Value& value) {
  for (auto& [known, old] : variables) {
    if (known == name) {
      old = value;
      return;
    }
  }
  variables.emplace_back(name, value);
}

absl::StatusOr<std::vector<Value>> Bind(std::string_view function, const Arguments& arguments,
                                        std::initializer_list<std::string_view> names,
                                        size_t required) {
  if (arguments.positional.size() > names.size()) {
    return Fail(function, " takes at most ", std::to_string(names.size()), " arguments");
  }
  std::vector<Value> bound(names.size());
  std::vector<bool> given(names.size(), false);
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    bound[i] = arguments.positional[i];
    given[i] = true;
  }
  for (const auto& [name, value] : arguments.named) {
    const size_t i = std::find(names.begin(), names.end(), name) - names.begin();
    if (i == names.size()) return Fail(function, " has no argument '", Printable(name), "'");
    if (given[i]) return Fail(function, " was given '", name, "' twice");
    bound[i] = value;
    given[i] = true;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!given[i]) return Fail(function, " lacks its argument '", names.begin()[i], "'");
  }
  return bound;
}

Value Arena::String(Text text) {
  if (!Charge(80 + 2 * static_cast<int64_t>(text.size()))) text = Text();
  Value value = Value::Of(Kind::kString);
  value.text = &texts_.emplace_back(std::move(text));
  return value;
}

Value Arena::Undefined(std::string_view name) {
  Value value = String(name, false);
  value.kind = Kind::kUndefined;
  return value;
}

void Arena::Measure(const Value& child, int& depth, int64_t& weight) {
  depth = std::max(depth, DepthOf(child) + 1);
  weight += WeightOf(child);
  if (depth > kMaxDepth) too_deep_ = true;
  if (weight > kMaxWeight) Charge(INT64_MAX);
  weight = std::min(weight, kMaxWeight);
}

Value Arena::List(std::vector<Value> items, Kind kind, const char* label) {
  if (!Charge(64 + 16 * static_cast<int64_t>(items.size()))) items.clear();
  Sequence& sequence = sequences_.emplace_back();
  for (const Value& item : items) Measure(item, sequence.depth, sequence.weight);
  if (exhausted()) items.clear();
  sequence.items = std::move(items);
  sequence.label = label;
  Value value = Value::Of(kind);
  value.sequence = &sequence;
  return value;
}

Value Arena::NewDict(std::vector<std::pair<Value, Value>> entries, Kind kind) {
  if (!Charge(64 + 32 * static_cast<int64_t>(entries.size()))) entries.clear();
  Dict& dict = dicts_.emplace_back();
  for (const auto& [key, value] : entries) {
    Measure(key, dict.depth, dict.weight);
    Measure(value, dict.depth, dict.weight);
  }
  dict.weight += ComparisonWeight(entries.size());
  if (dict.weight > kMaxWeight) Charge(INT64_MAX);
  if (exhausted()) entries.clear();
  dict.entries = std::move(entries);
  Value value = Value::Of(kind);
  value.dict = &dict;
  return value;
}

Value Arena::NewCallable(Callable callable) {
  Charge(100);
  Value value = Value::Of(Kind::kCallable);
  value.callable = &callables_.emplace_back(std::move(callable));
  return value;
}

Value Arena::NewLoop(const Loop& loop) {
  Charge(64);
  Value value = Value::Of(Kind::kLoop);
  value.loop = &loops_.emplace_back(loop);
  return value;
}

Scope* Arena::NewScope(Scope* parent) {
  Charge(200);
  Scope& scope = scopes_.emplace_back();
  scope.parent = parent;
  return &scope;
}

Value Arena::FromJson(const nlohmann::ordered_json& json, int depth) {
  if (depth > kMaxDepth) {
    too_deep_ = true;
    return Value::None();
  }
  const int64_t before = left_;
  Value value = Value::None();
  if (json.is_boolean()) {
    value = Value::Bool(json.get<bool>());
  } else if (json.is_number_float()) {
    value = Value::Float(json.get<double>());
  } else if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX) {
    value = Value::Float(static_cast<double>(json.get<uint64_t>()));
  } else if (json.is_number()) {
    value = Value::Int(json.get<int64_t>());
  } else if (json.is_string()) {
    value = Value::Of(Kind::kString);
    value.text = &texts_.emplace_back(json.get_ref<const std::string&>(), false);
  } else if (json.is_array()) {
    value = List({});
    for (const auto& item : json) value.sequence->items.push_back(FromJson(item, depth + 1));
    for (const Value& item : value.sequence->items) {
      Measure(item, value.sequence->depth, value.sequence->weight);
    }
  } else if (json.is_object()) {
    value = NewDict({});
    for (const auto& [name, item] : json.items()) {
      Value key = Value::Of(Kind::kString);
      key.text = &texts_.emplace_back(name, false);
      Value entry = FromJson(item, depth + 1);
      if (name == "role" && entry.Is(Kind::kString) && IsUsualRole(entry.text->bytes)) {
        entry.text = &texts_.emplace_back(entry.text->bytes, true);
      }
      Measure(entry, value.dict->depth, value.dict->weight);
      value.dict->entries.emplace_back(key, entry);
    }
    value.dict->weight += ComparisonWeight(json.size());
  }
  left_ = before;
  return value;
}

std::string_view TypeName(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      return "an undefined value";
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kRange:
      return "range";
    case Kind::kView:
      return "a view of a dict";
    case Kind::kGenerator:
      return "a generator";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "namespace";
    case Kind::kLoop:
      return "loop";
    case Kind::kCallable:
      return "a function";
  }
  return "a value";
}

}  // namespace potluck::model::jinja
