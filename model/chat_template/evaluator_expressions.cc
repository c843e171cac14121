// The half of Evaluator that evaluates expressions; evaluator_statements.cc has the other.
#include "absl/cleanup/cleanup.h"
#include "common/status_macros.h"
#include "model/chat_template/evaluator.h"
#include "model/chat_template/filters.h"
#include "model/chat_template/functions.h"
#include "model/chat_template/methods.h"
#include "model/chat_template/operators.h"
#include "model/chat_template/value_tests.h"

namespace potluck::model::jinja {

using Type = Expression::Type;

Evaluator::Result Evaluator::Evaluate(const Expression& expression, Scope* scope) {
  const absl::Cleanup leave = [this] { --depth_; };
  if (++depth_ > kMaxDepth) {
    return Locate(expression.line, absl::ResourceExhaustedError("nested too deeply"));
  }
  if (!arena_.Charge(10) || arena_.exhausted()) return Locate(expression.line, Exhausted());
  Result result = EvaluateInner(expression, scope);
  if (!result.ok()) return Locate(expression.line, result.status());
  return result;
}

Evaluator::Result Evaluator::EvaluateInner(const Expression& expression, Scope* scope) {
  switch (expression.type) {
    case Type::kConstant:
      return expression.constant;
    case Type::kName:
      return EvaluateName(expression, scope);
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
      return EvaluateLiteral(expression, scope);
    case Type::kUnary:
      return EvaluateUnary(expression, scope);
    case Type::kBinary:
      return EvaluateBinary(expression, scope);
    case Type::kCompare:
      return EvaluateComparison(expression, scope);
    case Type::kCondition: {
      POTLUCK_ASSIGN_OR_RETURN(const Value condition, Evaluate(*expression.b, scope));
      if (IsTrue(condition)) return Evaluate(*expression.a, scope);
      return expression.c == nullptr ? Result(Value()) : Evaluate(*expression.c, scope);
    }
    case Type::kAttribute: {
      POTLUCK_ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.a, scope));
      return GetAttribute(arena_, object, expression.name);
    }
    case Type::kItem: {
      POTLUCK_ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.a, scope));
      POTLUCK_ASSIGN_OR_RETURN(const Value key, Evaluate(*expression.b, scope));
      return Subscript(arena_, object, key);
    }
    case Type::kSlice:
      return EvaluateSlice(expression, scope);
    case Type::kCall:
      return EvaluateCall(expression, scope);
    case Type::kFilter:
      return EvaluateFilter(expression, scope);
    case Type::kTest: {
      POTLUCK_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.a, scope));
      POTLUCK_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expression, scope));
      arena_.Charge(WeightOf(value));
      POTLUCK_ASSIGN_OR_RETURN(const bool holds,
                               ApplyTest(arena_, expression.name, value, arguments));
      return Value::Bool(holds);
    }
  }
  return Value();
}

Evaluator::Result Evaluator::EvaluateName(const Expression& expression, Scope* scope) {
  if (const Value* value = scope->Find(expression.name)) return *value;
  if (IsGlobalFunction(expression.name)) {
    return arena_.NewCallable(
        {.type = Callable::Type::kGlobal, .name = expression.name, .self = {}});
  }
  return arena_.Undefined(expression.name);
}

Evaluator::Result Evaluator::EvaluateLiteral(const Expression& expression, Scope* scope) {
  std::vector<Value> items;
  for (const Expression* item : expression.items) {
    POTLUCK_ASSIGN_OR_RETURN(const Value value, Evaluate(*item, scope));
    items.push_back(value);
  }
  if (expression.type == Type::kList) return arena_.List(std::move(items));
  if (expression.type == Type::kTuple) return arena_.List(std::move(items), Kind::kTuple);
  Dict dict;
  for (size_t i = 0; i < items.size(); i += 2) {
    if (items[i].Is(Kind::kList) || items[i].Is(Kind::kDict)) {
      return Fail("a key can't be ", TypeName(items[i]));
    }
    if (!arena_.Charge(static_cast<int64_t>(dict.entries.size()) + WeightOf(items[i]))) break;
    dict.Set(items[i], items[i + 1]);
  }
  return arena_.NewDict(std::move(dict.entries));
}

Evaluator::Result Evaluator::EvaluateUnary(const Expression& expression, Scope* scope) {
  POTLUCK_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.a, scope));
  if (expression.name == "not") return Value::Bool(!IsTrue(value));
  if (!value.IsNumber()) return Fail("'", expression.name, "' does not work on ", TypeName(value));
  if (expression.name == "+") return value.Is(Kind::kBool) ? Value::Int(value.AsInt()) : value;
  if (value.Is(Kind::kFloat)) return Value::Float(-value.real);
  return Calculate(arena_, "-", Value::Int(0), value);
}

Evaluator::Result Evaluator::EvaluateBinary(const Expression& expression, Scope* scope) {
  POTLUCK_ASSIGN_OR_RETURN(const Value left, Evaluate(*expression.a, scope));
  if (expression.name == "and" && !IsTrue(left)) return left;
  if (expression.name == "or" && IsTrue(left)) return left;
  POTLUCK_ASSIGN_OR_RETURN(const Value right, Evaluate(*expression.b, scope));
  if (expression.name == "and" || expression.name == "or") return right;
  return Calculate(arena_, expression.name, left, right);
}

Evaluator::Result Evaluator::EvaluateComparison(const Expression& expression, Scope* scope) {
  POTLUCK_ASSIGN_OR_RETURN(Value left, Evaluate(*expression.a, scope));
  for (size_t i = 0; i < expression.items.size(); ++i) {
    POTLUCK_ASSIGN_OR_RETURN(const Value right, Evaluate(*expression.items[i], scope));
    const std::string& op = expression.operators[i];
    const bool is_membership = op == "in" || op == "not in";
    const int64_t cost = std::min(WeightOf(left), WeightOf(right));
    if (!arena_.Charge(is_membership ? WeightOf(right) : cost)) return Exhausted();
    bool holds = false;
    if (is_membership) {
      POTLUCK_ASSIGN_OR_RETURN(holds, Contains(arena_, left, right));
      holds = holds == (op == "in");
    } else if (op == "==" || op == "!=") {
      holds = Equal(left, right) == (op == "==");
    } else {
      POTLUCK_ASSIGN_OR_RETURN(const int order, Compare(left, right));
      holds = op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
    }
    if (!holds) return Value::Bool(false);
    left = right;
  }
  return Value::Bool(true);
}

Evaluator::Result Evaluator::EvaluateSlice(const Expression& expression, Scope* scope) {
  POTLUCK_ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.a, scope));
  Value parts[3] = {Value::None(), Value::None(), Value::None()};
  for (size_t i = 0; i < 3; ++i) {
    if (expression.items[i] == nullptr) continue;
    POTLUCK_ASSIGN_OR_RETURN(parts[i], Evaluate(*expression.items[i], scope));
  }
  return GetSlice(arena_, object, parts[0], parts[1], parts[2]);
}

Evaluator::Result Evaluator::EvaluateFilter(const Expression& expression, Scope* scope) {
  Value input;
  if (expression.a == nullptr) {
    input = *filter_input_;
  } else {
    POTLUCK_ASSIGN_OR_RETURN(input, Evaluate(*expression.a, scope));
  }
  POTLUCK_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expression, scope));
  arena_.Charge(WeightOf(input));
  return ApplyFilter(arena_, expression.name, input, arguments);
}

absl::StatusOr<Arguments> Evaluator::EvaluateArguments(const Expression& call, Scope* scope) {
  Arguments arguments;
  for (const Expression* item : call.items) {
    POTLUCK_ASSIGN_OR_RETURN(const Value value, Evaluate(*item, scope));
    arguments.positional.push_back(value);
  }
  for (const auto& [name, item] : call.named) {
    POTLUCK_ASSIGN_OR_RETURN(const Value value, Evaluate(*item, scope));
    arguments.named.emplace_back(name, value);
  }
  return arguments;
}

Evaluator::Result Evaluator::EvaluateCall(const Expression& expression, Scope* scope) {
  POTLUCK_ASSIGN_OR_RETURN(const Value function, Evaluate(*expression.a, scope));
  POTLUCK_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expression, scope));
  return Call(function, arguments, nullptr);
}

Evaluator::Result Evaluator::Call(const Value& function, const Arguments& arguments,
                                  const Value* caller) {
  if (function.Is(Kind::kUndefined)) {
    const std::string name = function.text == nullptr ? "" : Printable(function.text->bytes, 40);
    return Fail("'", name, "' is undefined and can't be called");
  }
  if (!function.Is(Kind::kCallable)) return Fail(TypeName(function), " can't be called");
  const Callable& callable = *function.callable;
  switch (callable.type) {
    case Callable::Type::kMacro:
      return CallMacro(callable, arguments, caller);
    case Callable::Type::kMethod:
      return CallMethod(arena_, callable.self, callable.name, arguments);
    case Callable::Type::kLoopMethod:
      return CallLoopMethod(callable, arguments);
    case Callable::Type::kGlobal:
      break;
  }
  return CallGlobalFunction(arena_, callable.name, arguments, now_);
}

Evaluator::Result Evaluator::CallMacro(const Callable& callable, const Arguments& arguments,
                                       const Value* caller) {
  const MacroNode& macro = *callable.macro;
  const size_t count = macro.parameters.size();
  if (arguments.positional.size() > count) {
    return Fail("macro ", macro.name, " takes at most ", std::to_string(count), " arguments");
  }
  Scope* scope = arena_.NewScope(callable.scope);
  for (const auto& [name, value] : arguments.named) {
    const auto& known = macro.parameters;
    const size_t i = std::find(known.begin(), known.end(), name) - known.begin();
    if (i == count) return Fail("macro ", macro.name, " has no parameter '", name, "'");
    if (i < arguments.positional.size()) {
      return Fail("macro ", macro.name, " was given '", name, "' twice");
    }
    scope->Set(macro.parameters[i], value);
  }
  const size_t first_default = count - macro.defaults.size();
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = macro.parameters[i];
    if (i < arguments.positional.size()) {
      scope->Set(name, arguments.positional[i]);
      continue;
    }
    const bool given = std::any_of(arguments.named.begin(), arguments.named.end(),
                                   [&](const auto& named) { return named.first == name; });
    if (given) continue;
    Value value = arena_.Undefined(name);
    if (i >= first_default) {
      POTLUCK_ASSIGN_OR_RETURN(value, Evaluate(*macro.defaults[i - first_default], scope));
    }
    scope->Set(name, value);
  }
  if (caller != nullptr) scope->Set("caller", *caller);
  return Capture(macro.body, scope);
}

Evaluator::Result Evaluator::CallLoopMethod(const Callable& method, const Arguments& arguments) {
  Loop& loop = *method.self.loop;
  const std::vector<Value>& given = arguments.positional;
  if (!arguments.named.empty()) return Fail("loop.", method.name, " takes no named arguments");
  if (method.name == "cycle") {
    if (given.empty()) return Fail("loop.cycle needs something to cycle through");
    return given[loop.index % given.size()];
  }
  const bool same = loop.last_value.size() == given.size() &&
                    std::equal(given.begin(), given.end(), loop.last_value.begin(), Equal);
  for (const Value& value : given) arena_.Charge(WeightOf(value));
  const bool changed = !loop.has_last_value || !same;
  loop.last_value = given;
  loop.has_last_value = true;
  return Value::Bool(changed);
}

}  // namespace potluck::model::jinja
