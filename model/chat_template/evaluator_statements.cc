// The half of Evaluator that runs statements; evaluator_expressions.cc has the other.
#include "absl/cleanup/cleanup.h"
#include "common/status_macros.h"
#include "model/chat_template/evaluator.h"
#include "model/chat_template/formatting.h"
#include "model/chat_template/operators.h"

namespace potluck::model::jinja {

using Type = Statement::Type;

absl::Status Evaluator::Locate(int line, absl::Status status) {
  if (status.ok() || located_) return status;
  located_ = true;
  return Annotate(status, absl::StrCat("chat template, line ", line));
}

absl::Status Evaluator::Exhausted() const {
  if (arena_.too_deep()) return absl::ResourceExhaustedError("values are nested too deeply");
  return absl::ResourceExhaustedError(
      "the template takes more work than a render may; shorten the conversation");
}

absl::StatusOr<Text> Evaluator::Run() {
  TextBuilder output(arena_);
  output_ = &output;
  if (arena_.exhausted()) return Exhausted();
  POTLUCK_RETURN_IF_ERROR(Execute(program_.body, arena_.NewScope(globals_)).status());
  if (arena_.exhausted()) return Exhausted();
  return output.Take();
}

Evaluator::FlowResult Evaluator::Execute(const Body& body, Scope* scope) {
  const absl::Cleanup leave = [this] { --depth_; };
  if (++depth_ > kMaxDepth) {
    return absl::ResourceExhaustedError("chat template: macros or blocks are nested too deeply");
  }
  for (const Statement* statement : body) {
    arena_.Charge(10);
    FlowResult flow = arena_.exhausted() ? FlowResult(Exhausted()) : ExecuteOne(*statement, scope);
    if (flow.ok() && arena_.exhausted()) flow = Exhausted();
    if (!flow.ok()) return Locate(statement->line, flow.status());
    if (*flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Evaluator::FlowResult Evaluator::ExecuteOne(const Statement& statement, Scope* scope) {
  switch (statement.type) {
    case Type::kText:
      output_->Append(*statement.text.text);
      break;
    case Type::kPrint: {
      POTLUCK_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value, scope));
      POTLUCK_RETURN_IF_ERROR(Print(value, *output_));
      break;
    }
    case Type::kIf:
      return ExecuteIf(statement, scope);
    case Type::kFor:
      return ExecuteFor(statement, scope);
    case Type::kSet: {
      POTLUCK_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value, scope));
      POTLUCK_RETURN_IF_ERROR(Assign(*statement.target, value, scope, scope));
      break;
    }
    case Type::kSetBlock: {
      POTLUCK_ASSIGN_OR_RETURN(Value value, Capture(statement.body, scope));
      if (statement.value != nullptr) {
        POTLUCK_ASSIGN_OR_RETURN(value, FilterText(*statement.value, value, scope));
      }
      POTLUCK_RETURN_IF_ERROR(Assign(*statement.target, value, scope, scope));
      break;
    }
    case Type::kMacro: {
      Callable macro{.type = Callable::Type::kMacro, .name = statement.macro->name, .self = {}};
      macro.macro = statement.macro;
      macro.scope = scope;
      scope->Set(statement.macro->name, arena_.NewCallable(std::move(macro)));
      break;
    }
    case Type::kCall:
      POTLUCK_RETURN_IF_ERROR(ExecuteCall(statement, scope));
      break;
    case Type::kFilter: {
      POTLUCK_ASSIGN_OR_RETURN(Value value, Capture(statement.body, scope));
      POTLUCK_ASSIGN_OR_RETURN(value, FilterText(*statement.value, value, scope));
      POTLUCK_RETURN_IF_ERROR(Print(value, *output_));
      break;
    }
    case Type::kWith:
      POTLUCK_RETURN_IF_ERROR(ExecuteWith(statement, scope));
      break;
    case Type::kScope:
      POTLUCK_RETURN_IF_ERROR(Execute(statement.body, arena_.NewScope(scope)).status());
      break;
    case Type::kBreak:
      return Flow::kBreak;
    case Type::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Evaluator::FlowResult Evaluator::ExecuteIf(const Statement& statement, Scope* scope) {
  for (const auto& [condition, body] : statement.branches) {
    POTLUCK_ASSIGN_OR_RETURN(const Value value, Evaluate(*condition, scope));
    if (IsTrue(value)) return Execute(body, scope);
  }
  return Execute(statement.otherwise, scope);
}

Evaluator::FlowResult Evaluator::ExecuteFor(const Statement& loop, Scope* scope) {
  POTLUCK_ASSIGN_OR_RETURN(const Value iterated, Evaluate(*loop.value, scope));
  POTLUCK_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(arena_, iterated));
  if (loop.condition != nullptr) {
    std::vector<Value> kept;
    for (const Value& item : items) {
      Scope* pass = arena_.NewScope(scope);
      POTLUCK_RETURN_IF_ERROR(Assign(*loop.target, item, pass, pass));
      POTLUCK_ASSIGN_OR_RETURN(const Value keep, Evaluate(*loop.condition, pass));
      if (IsTrue(keep)) kept.push_back(item);
    }
    items = std::move(kept);
  }
  if (items.empty()) return Execute(loop.otherwise, arena_.NewScope(scope));
  const Value all = arena_.List(std::move(items));  // outlives the loop: macros may hold `loop`
  const Value state = arena_.NewLoop({.items = &all.sequence->items});
  const Value* outer = scope->Find("loop");
  state.loop->depth = outer != nullptr && outer->Is(Kind::kLoop) ? outer->loop->depth + 1 : 1;
  for (size_t i = 0; i < all.sequence->items.size(); ++i) {
    if (arena_.exhausted()) return Exhausted();
    state.loop->index = i;
    Scope* pass = arena_.NewScope(scope);
    pass->Set("loop", state);
    POTLUCK_RETURN_IF_ERROR(Assign(*loop.target, all.sequence->items[i], pass, pass));
    POTLUCK_ASSIGN_OR_RETURN(const Flow flow, Execute(loop.body, pass));
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNormal;
}

absl::Status Evaluator::ExecuteCall(const Statement& statement, Scope* scope) {
  const Expression& call = *statement.value;
  POTLUCK_ASSIGN_OR_RETURN(const Value function, Evaluate(*call.a, scope));
  POTLUCK_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(call, scope));
  Callable callable{.type = Callable::Type::kMacro, .name = "caller", .self = {}};
  callable.macro = statement.macro;
  callable.scope = scope;
  const Value caller = arena_.NewCallable(std::move(callable));
  POTLUCK_ASSIGN_OR_RETURN(const Value text, Call(function, arguments, &caller));
  return Print(text, *output_);
}

absl::Status Evaluator::ExecuteWith(const Statement& statement, Scope* scope) {
  Scope* inner = arena_.NewScope(scope);
  for (const auto& [target, expression] : statement.assignments) {
    POTLUCK_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression, scope));
    POTLUCK_RETURN_IF_ERROR(Assign(*target, value, inner, scope));
  }
  return Execute(statement.body, inner).status();
}

absl::Status Evaluator::Assign(const Expression& target, const Value& value, Scope* assigned,
                               Scope* scope) {
  if (target.type == Expression::Type::kName) {
    assigned->Set(target.name, value);
    return absl::OkStatus();
  }
  if (target.type == Expression::Type::kAttribute) {
    POTLUCK_ASSIGN_OR_RETURN(const Value space, Evaluate(*target.a, scope));
    if (!space.Is(Kind::kNamespace)) return Fail("only attributes of a namespace can be set");
    if (target.name[0] == '_') return Fail("a namespace's attributes can't begin with '_'");
    arena_.Charge(static_cast<int64_t>(space.dict->entries.size()));
    space.dict->Set(arena_.String(target.name, true), value);
    return absl::OkStatus();
  }
  POTLUCK_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(arena_, value));
  if (items.size() != target.items.size()) {
    return Fail("can't unpack ", std::to_string(items.size()), " values into ",
                std::to_string(target.items.size()), " names");
  }
  for (size_t i = 0; i < items.size(); ++i) {
    POTLUCK_RETURN_IF_ERROR(Assign(*target.items[i], items[i], assigned, scope));
  }
  return absl::OkStatus();
}

Evaluator::Result Evaluator::Capture(const Body& body, Scope* scope) {
  TextBuilder text(arena_);
  TextBuilder* const outer = std::exchange(output_, &text);
  const FlowResult flow = Execute(body, arena_.NewScope(scope));
  output_ = outer;
  if (!flow.ok()) return flow.status();
  return arena_.String(text.Take());
}

Evaluator::Result Evaluator::FilterText(const Expression& chain, const Value& input, Scope* scope) {
  const Value* const outer = std::exchange(filter_input_, &input);
  Result result = Evaluate(chain, scope);
  filter_input_ = outer;
  return result;
}

}  // namespace potluck::model::jinja
