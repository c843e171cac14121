// What a template's expressions evaluate to: Python's values, as far as templates see them.
//
// A Value is small and trivially copied; what it points to belongs to an Arena, lives until the
// render ends and (namespaces, loops and generators aside) never changes. So values can't form
// cycles that leak, and freeing deep ones needs no stack.
#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/text.h"
#include "model/chat_template/text.h"

namespace potluck::model::jinja {

struct Sequence;
struct Dict;
struct Callable;
struct Loop;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kRange,
  kView,       // of a dict: items(), keys(), values(). Can be counted, not indexed
  kGenerator,  // what map, select and others give: can be gone through once
  kDict,
  kNamespace,
  kLoop,
  kCallable,
};

struct Value {
  Kind kind = Kind::kUndefined;
  union {
    bool boolean;
    int64_t integer = 0;
    double real;
    const Text* text;          // kString; of kUndefined: the name that is missing, or null
    Sequence* sequence;        // kList to kGenerator
    Dict* dict;                // kDict, kNamespace
    Loop* loop;                // kLoop
    const Callable* callable;  // kCallable
  };

  static Value None() { return Of(Kind::kNone); }
  static Value Of(Kind kind) {
    Value value;
    value.kind = kind;
    return value;
  }
  static Value Bool(bool boolean) {
    Value value = Of(Kind::kBool);
    value.boolean = boolean;
    return value;
  }
  static Value Int(int64_t integer) {
    Value value = Of(Kind::kInt);
    value.integer = integer;
    return value;
  }
  static Value Float(double real) {
    Value value = Of(Kind::kFloat);
    value.real = real;
    return value;
  }

  bool Is(Kind wanted) const { return kind == wanted; }
  bool IsSequence() const { return kind >= Kind::kList && kind <= Kind::kGenerator; }
  bool IsNumber() const { return kind >= Kind::kBool && kind <= Kind::kFloat; }
  bool IsIntegral() const { return kind == Kind::kBool || kind == Kind::kInt; }
  // Of an integral value.
  int64_t AsInt() const { return kind == Kind::kBool ? boolean : integer; }
  // Of a number.
  double AsDouble() const { return kind == Kind::kFloat ? real : static_cast<double>(AsInt()); }
};

struct Sequence {
  std::vector<Value> items;
  int depth = 1;                // of nesting: bounds every recursion over values
  int64_t weight = 1;           // see WeightOf
  const char* label = nullptr;  // of a view: "dict_items"
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion, keys differ
  int depth = 1;
  int64_t weight = 1;

  const Value* Find(std::string_view key) const;
  void Set(const Value& key, const Value& value);
};

// What a walk over the whole value costs: one per value (shared ones as often as they are met) and
// per 16 bytes of text. Bounded: [x, x] of [x, x] of ... would take forever to walk.
int64_t WeightOf(const Value& value);

// A for loop's `loop`.
struct Loop {
  const std::vector<Value>* items = nullptr;
  size_t index = 0;
  int depth = 1;                  // of nested loops
  std::vector<Value> last_value;  // of loop.changed
  bool has_last_value = false;
};

struct MacroNode;
struct Scope;

struct Callable {
  enum class Type { kGlobal, kMethod, kMacro, kLoopMethod } type;
  std::string name;
  Value self;                        // of a method; of kLoopMethod the loop
  const MacroNode* macro = nullptr;  // of a macro
  Scope* scope = nullptr;            // where the macro was defined
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// The arguments of a call in the order of `names`, kUndefined for those not given.
// InvalidArgument: too many, twice, of an unknown name, or fewer than `required`.
absl::StatusOr<std::vector<Value>> Bind(std::string_view function, const Arguments& arguments,
                                        std::initializer_list<std::string_view> names,
                                        size_t required);

// Owns the values of a render and counts what they cost. When the budget is spent, `exhausted`
// turns true and stays; what is made after that is empty, and the evaluator stops at its next step.
class Arena {
 public:
  static constexpr int kMaxDepth = 100;
  static constexpr int64_t kMaxWeight = 16'000'000;

  explicit Arena(int64_t budget) : left_(budget) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Takes `cost` from the budget; false where it is spent.
  bool Charge(int64_t cost) {
    left_ -= cost;
    if (cost < 0 || left_ < 0) left_ = -1;
    return left_ >= 0;
  }
  bool exhausted() const { return left_ < 0 || too_deep_; }
  bool too_deep() const { return too_deep_; }

  Value String(Text text);
  Value String(std::string_view text, bool trusted) { return String(Text(text, trusted)); }
  Value Undefined(std::string_view name);
  Value List(std::vector<Value> items, Kind kind = Kind::kList, const char* label = nullptr);
  Value NewDict(std::vector<std::pair<Value, Value>> entries, Kind kind = Kind::kDict);
  Value NewCallable(Callable callable);
  Value NewLoop(const Loop& loop);
  Scope* NewScope(Scope* parent);

  // A copy of `json`; every string and key in it is untrusted. Free of charge.
  Value FromJson(const nlohmann::ordered_json& json, int depth = 0);

 private:
  void Measure(const Value& child, int& depth, int64_t& weight);

  int64_t left_;
  bool too_deep_ = false;
  std::deque<Text> texts_;
  std::deque<Sequence> sequences_;
  std::deque<Dict> dicts_;
  std::deque<Callable> callables_;
  std::deque<Loop> loops_;
  std::deque<Scope> scopes_;
};

// The variables of a loop's pass, a macro's call or the template.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> variables;  // names live in the program

  const Value* Find(std::string_view name) const;  // here or further out
  void Set(std::string_view name, const Value& value);
};

// Builds a text within an arena's budget: what no longer fits is dropped.
class TextBuilder {
 public:
  explicit TextBuilder(Arena& arena) : arena_(arena) {}
  void Append(const Text& text) {
    if (arena_.Charge(2 * static_cast<int64_t>(text.size()))) text_.Append(text);
  }
  void Append(std::string_view text, bool trusted) {
    if (arena_.Charge(2 * static_cast<int64_t>(text.size()))) text_.Append(text, trusted);
  }
  void Charge(int64_t cost) { arena_.Charge(cost); }
  size_t size() const { return text_.size(); }
  Text Take() { return std::move(text_); }

 private:
  Arena& arena_;
  Text text_;
};

// "str", "list", ...: Python's name of a value's type, for messages.
std::string_view TypeName(const Value& value);

template <typename... Parts>
absl::Status Fail(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(ToAbsl(std::string_view(parts))...));
}

}  // namespace potluck::model::jinja
