#include "model/chat_template/operators.h"

#include <algorithm>
#include <cmath>

#include "common/status_macros.h"
#include "model/chat_template/formatting.h"

namespace potluck::model::jinja {
namespace {

absl::Status BadOperands(std::string_view op, const Value& a, const Value& b) {
  return Fail("'", op, "' does not work on ", TypeName(a), " and ", TypeName(b));
}

absl::Status Overflow() { return Fail("a number goes beyond 64 bits"); }

absl::StatusOr<Value> Power(const Value& a, const Value& b) {
  if (!a.IsIntegral() || !b.IsIntegral() || b.AsInt() < 0) {
    if (a.AsDouble() == 0 && b.AsDouble() < 0) return Fail("division by zero");
    const double power = std::pow(a.AsDouble(), b.AsDouble());
    if (!std::isfinite(power)) return Overflow();
    return Value::Float(power);
  }
  int64_t base = a.AsInt(), result = 1;
  for (int64_t exponent = b.AsInt(); exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return Overflow();
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return Overflow();
  }
  return Value::Int(result);
}

absl::StatusOr<Value> IntegerResult(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  if (op == "+") {
    if (__builtin_add_overflow(a, b, &result)) return Overflow();
  } else if (op == "-") {
    if (__builtin_sub_overflow(a, b, &result)) return Overflow();
  } else if (op == "*") {
    if (__builtin_mul_overflow(a, b, &result)) return Overflow();
  } else {  // "//" and "%" round down
    if (b == 0) return Fail("division by zero");
    if (b == -1) {
      if (op == "//" && __builtin_sub_overflow(0, a, &result)) return Overflow();
      return Value::Int(result);
    }
    const bool down = a % b != 0 && (a < 0) != (b < 0);
    result = op == "//" ? a / b - down : a % b + (down ? b : 0);
  }
  return Value::Int(result);
}

absl::StatusOr<Value> Number(std::string_view op, const Value& a, const Value& b) {
  if (op == "**") return Power(a, b);
  if (op != "/" && a.IsIntegral() && b.IsIntegral()) {
    return IntegerResult(op, a.AsInt(), b.AsInt());
  }
  const double x = a.AsDouble(), y = b.AsDouble();
  if (op == "+") return Value::Float(x + y);
  if (op == "-") return Value::Float(x - y);
  if (op == "*") return Value::Float(x * y);
  if (y == 0) return Fail("division by zero");
  if (op == "/") return Value::Float(x / y);
  if (op == "//") return Value::Float(std::floor(x / y));
  const double rest = std::fmod(x, y);
  return Value::Float(rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest);
}

Value Repeat(Arena& arena, const Value& value, int64_t count) {
  const bool is_text = value.Is(Kind::kString);
  const int64_t size = is_text ? static_cast<int64_t>(value.text->size())
                               : static_cast<int64_t>(value.sequence->items.size());
  count = size == 0 ? 0 : std::max<int64_t>(count, 0);
  int64_t cost = 0;
  if (__builtin_mul_overflow(count, size * 16, &cost) || !arena.Charge(cost)) {
    arena.Charge(INT64_MAX);
    count = 0;
  }
  if (is_text) {
    TextBuilder text(arena);
    for (int64_t i = 0; i < count; ++i) text.Append(*value.text);
    return arena.String(text.Take());
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < count; ++i) {
    items.insert(items.end(), value.sequence->items.begin(), value.sequence->items.end());
  }
  return arena.List(std::move(items), value.kind);
}

bool IsListLike(const Value& value) { return value.Is(Kind::kList) || value.Is(Kind::kTuple); }

// Python's slice.indices: where a slice of `size` items begins and how many it takes.
struct SliceRange {
  int64_t begin = 0;
  int64_t count = 0;
  int64_t step = 1;
};

absl::StatusOr<SliceRange> ResolveSlice(int64_t size, const Value& begin, const Value& end,
                                        const Value& step) {
  SliceRange range;
  for (const Value* part : {&begin, &end, &step}) {
    if (!part->Is(Kind::kNone) && !part->IsIntegral()) return Fail("slices take whole numbers");
  }
  if (!step.Is(Kind::kNone)) range.step = step.AsInt();
  if (range.step == 0) return Fail("a slice's step can't be zero");
  const int64_t lowest = range.step > 0 ? 0 : -1;
  const int64_t highest = range.step > 0 ? size : size - 1;
  const auto clamp = [&](const Value& part, int64_t missing) {
    if (part.Is(Kind::kNone)) return missing;
    const int64_t index = part.AsInt() < 0 ? part.AsInt() + size : part.AsInt();
    return std::clamp(index, lowest, highest);
  };
  range.begin = clamp(begin, range.step > 0 ? lowest : highest);
  const int64_t stop = clamp(end, range.step > 0 ? highest : lowest);
  if (range.step > 0 && stop > range.begin) {
    range.count = (stop - range.begin - 1) / range.step + 1;
  } else if (range.step < 0 && stop < range.begin) {
    range.step = std::max(range.step, -size - 1);
    range.count = (range.begin - stop - 1) / -range.step + 1;
  }
  return range;
}

}  // namespace

bool IsTrue(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.boolean;
    case Kind::kInt:
      return value.integer != 0;
    case Kind::kFloat:
      return value.real != 0;
    case Kind::kString:
      return value.text->size() > 0;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
    case Kind::kView:
      return !value.sequence->items.empty();
    case Kind::kDict:
      return !value.dict->entries.empty();
    default:
      return true;
  }
}

bool Equal(const Value& a, const Value& b) {
  if (a.IsNumber() && b.IsNumber()) {
    return a.IsIntegral() && b.IsIntegral() ? a.AsInt() == b.AsInt() : a.AsDouble() == b.AsDouble();
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kString:
      return a.text == b.text || a.text->bytes == b.text->bytes;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      return std::equal(a.sequence->items.begin(), a.sequence->items.end(),
                        b.sequence->items.begin(), b.sequence->items.end(), Equal);
    case Kind::kDict: {
      if (a.dict->entries.size() != b.dict->entries.size()) return false;
      const auto& others = b.dict->entries;
      for (const auto& entry : a.dict->entries) {
        const auto found = std::find_if(others.begin(), others.end(), [&](const auto& other) {
          return Equal(entry.first, other.first);
        });
        if (found == others.end() || !Equal(entry.second, found->second)) return false;
      }
      return true;
    }
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kCallable:
      return a.callable == b.callable;
    case Kind::kLoop:
      return a.loop == b.loop;
    case Kind::kNamespace:
      return a.dict == b.dict;
    default:
      return a.sequence == b.sequence;
  }
}

absl::StatusOr<int> Compare(const Value& a, const Value& b) {
  if (a.IsNumber() && b.IsNumber()) {
    if (a.IsIntegral() && b.IsIntegral()) {
      return a.AsInt() < b.AsInt() ? -1 : a.AsInt() > b.AsInt();
    }
    return a.AsDouble() < b.AsDouble() ? -1 : a.AsDouble() > b.AsDouble();
  }
  if (a.Is(Kind::kString) && b.Is(Kind::kString)) {
    const int order = a.text->bytes.compare(b.text->bytes);
    return order < 0 ? -1 : order > 0;
  }
  if (IsListLike(a) && a.kind == b.kind) {
    const auto &x = a.sequence->items, &y = b.sequence->items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!Equal(x[i], y[i])) return Compare(x[i], y[i]);
    }
    return x.size() < y.size() ? -1 : x.size() > y.size();
  }
  return BadOperands("<", a, b);
}

absl::StatusOr<Value> Calculate(Arena& arena, std::string_view op, const Value& a, const Value& b) {
  if (op == "~") {
    TextBuilder text(arena);
    POTLUCK_RETURN_IF_ERROR(Print(a, text));
    POTLUCK_RETURN_IF_ERROR(Print(b, text));
    return arena.String(text.Take());
  }
  if (a.IsNumber() && b.IsNumber()) return Number(op, a, b);
  if (op == "+" && a.Is(Kind::kString) && b.Is(Kind::kString)) {
    TextBuilder text(arena);
    text.Append(*a.text);
    text.Append(*b.text);
    return arena.String(text.Take());
  }
  if (op == "+" && IsListLike(a) && a.kind == b.kind) {
    std::vector<Value> items = a.sequence->items;
    items.insert(items.end(), b.sequence->items.begin(), b.sequence->items.end());
    return arena.List(std::move(items), a.kind);
  }
  const auto repeats = [](const Value& value) {
    return value.Is(Kind::kString) || IsListLike(value);
  };
  if (op == "*" && repeats(a) && b.IsIntegral()) return Repeat(arena, a, b.AsInt());
  if (op == "*" && repeats(b) && a.IsIntegral()) return Repeat(arena, b, a.AsInt());
  if (op == "%" && a.Is(Kind::kString)) {
    Arguments arguments;
    if (b.Is(Kind::kTuple)) {
      arguments.positional = b.sequence->items;
    } else {
      arguments.positional = {b};
    }
    return FormatPercent(arena, *a.text, arguments, b);
  }
  return BadOperands(op, a, b);
}

absl::StatusOr<bool> Contains(Arena& arena, const Value& item, const Value& container) {
  if (container.Is(Kind::kString)) {
    if (!item.Is(Kind::kString)) return BadOperands("in", item, container);
    arena.Charge(static_cast<int64_t>(container.text->size()));
    return container.text->bytes.find(item.text->bytes) != std::string::npos;
  }
  if (container.Is(Kind::kDict)) {
    arena.Charge(static_cast<int64_t>(container.dict->entries.size()));
    for (const auto& [key, value] : container.dict->entries) {
      if (Equal(key, item)) return true;
    }
    return false;
  }
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(arena, container));
  return std::any_of(items.begin(), items.end(), [&](const Value& v) { return Equal(v, item); });
}

absl::StatusOr<Value> GetItem(Arena& arena, const Value& a, const Value& b) {
  if (a.Is(Kind::kDict) || a.Is(Kind::kNamespace)) {
    arena.Charge(static_cast<int64_t>(a.dict->entries.size()));
    for (const auto& [key, value] : a.dict->entries) {
      if (Equal(key, b)) return value;
    }
    return Value();
  }
  if (!b.IsIntegral()) return Value();
  int64_t index = b.AsInt();
  if (a.Is(Kind::kString)) {
    arena.Charge(8 * static_cast<int64_t>(a.text->size()));
    const std::vector<size_t> offsets = CharacterOffsets(a.text->bytes);
    const auto size = static_cast<int64_t>(offsets.size()) - 1;
    if (index < 0) index += size;
    if (index < 0 || index >= size) return Value();
    return arena.String(a.text->Slice(offsets[index], offsets[index + 1]));
  }
  if (!IsListLike(a) && !a.Is(Kind::kRange)) return Value();
  const auto size = static_cast<int64_t>(a.sequence->items.size());
  if (index < 0) index += size;
  if (index < 0 || index >= size) return Value();
  return a.sequence->items[index];
}

absl::StatusOr<Value> GetSlice(Arena& arena, const Value& a, const Value& begin, const Value& end,
                               const Value& step) {
  if (a.Is(Kind::kUndefined)) return Fail("can't slice an undefined value");
  if (!a.Is(Kind::kString)) {
    if (!IsListLike(a) && !a.Is(Kind::kRange)) return Value();
    const auto& all = a.sequence->items;
    POTLUCK_ASSIGN_OR_RETURN(const SliceRange range,
                             ResolveSlice(static_cast<int64_t>(all.size()), begin, end, step));
    std::vector<Value> items;
    for (int64_t i = 0; i < range.count; ++i) items.push_back(all[range.begin + i * range.step]);
    return arena.List(std::move(items), a.kind);
  }
  if (!arena.Charge(8 * static_cast<int64_t>(a.text->size()))) return Value();
  const std::vector<size_t> offsets = CharacterOffsets(a.text->bytes);
  POTLUCK_ASSIGN_OR_RETURN(
      const SliceRange range,
      ResolveSlice(static_cast<int64_t>(offsets.size()) - 1, begin, end, step));
  if (range.step == 1) {
    return arena.String(a.text->Slice(offsets[range.begin], offsets[range.begin + range.count]));
  }
  TextBuilder text(arena);
  for (int64_t i = 0; i < range.count; ++i) {
    const int64_t at = range.begin + i * range.step;
    text.Append(a.text->Slice(offsets[at], offsets[at + 1]));
  }
  return arena.String(text.Take());
}

absl::StatusOr<std::vector<Value>> Iterate(Arena& arena, const Value& value) {
  std::vector<Value> items;
  switch (value.kind) {
    case Kind::kUndefined:
      return items;
    case Kind::kGenerator:
      items.swap(value.sequence->items);
      return items;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
    case Kind::kView:
      if (!arena.Charge(16 * static_cast<int64_t>(value.sequence->items.size()))) return items;
      return value.sequence->items;
    case Kind::kDict:
      if (!arena.Charge(16 * static_cast<int64_t>(value.dict->entries.size()))) return items;
      for (const auto& entry : value.dict->entries) items.push_back(entry.first);
      return items;
    case Kind::kString: {
      size_t length = 0;
      for (size_t i = 0; i < value.text->size() && !arena.exhausted(); i += length) {
        CharacterAt(value.text->bytes, i, &length);
        arena.Charge(16);
        items.push_back(arena.String(value.text->Slice(i, i + length)));
      }
      return items;
    }
    default:
      return Fail(TypeName(value), " can't be gone through");
  }
}

std::optional<int64_t> Length(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return CountCharacters(value.text->bytes);
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
    case Kind::kView:
      return value.sequence->items.size();
    case Kind::kDict:
      return value.dict->entries.size();
    case Kind::kLoop:
      return value.loop->items->size();
    default:
      return std::nullopt;
  }
}

}  // namespace potluck::model::jinja
