// Runs a Program: walks its statements and writes text.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "model/chat_template/program.h"
#include "model/chat_template/value.h"

namespace potluck::model::jinja {

class Evaluator {
 public:
  // Borrows all; `globals` holds the variables that the caller gives the template.
  Evaluator(const Program& program, Arena& arena, Scope* globals, absl::CivilSecond now)
      : program_(program), arena_(arena), globals_(globals), now_(now) {}

  // The rendered text. Single use. Errors name the template's line.
  absl::StatusOr<Text> Run();

 private:
  static constexpr int kMaxDepth = 400;  // of statements, expressions and macro calls together

  enum class Flow { kNormal, kBreak, kContinue };
  using Result = absl::StatusOr<Value>;
  using FlowResult = absl::StatusOr<Flow>;

  FlowResult Execute(const Body& body, Scope* scope);
  FlowResult ExecuteOne(const Statement& statement, Scope* scope);
  FlowResult ExecuteFor(const Statement& loop, Scope* scope);
  FlowResult ExecuteIf(const Statement& statement, Scope* scope);
  absl::Status ExecuteCall(const Statement& statement, Scope* scope);
  absl::Status ExecuteWith(const Statement& statement, Scope* scope);
  absl::Status Assign(const Expression& target, const Value& value, Scope* assigned, Scope* scope);
  // What `body` prints, as a string.
  Result Capture(const Body& body, Scope* scope);
  Result FilterText(const Expression& chain, const Value& input, Scope* scope);

  Result Evaluate(const Expression& expression, Scope* scope);
  Result EvaluateInner(const Expression& expression, Scope* scope);
  Result EvaluateName(const Expression& expression, Scope* scope);
  Result EvaluateLiteral(const Expression& expression, Scope* scope);
  Result EvaluateUnary(const Expression& expression, Scope* scope);
  Result EvaluateBinary(const Expression& expression, Scope* scope);
  Result EvaluateComparison(const Expression& expression, Scope* scope);
  Result EvaluateSlice(const Expression& expression, Scope* scope);
  Result EvaluateFilter(const Expression& expression, Scope* scope);
  Result EvaluateCall(const Expression& expression, Scope* scope);
  absl::StatusOr<Arguments> EvaluateArguments(const Expression& call, Scope* scope);
  Result Call(const Value& function, const Arguments& arguments, const Value* caller);
  Result CallMacro(const Callable& macro, const Arguments& arguments, const Value* caller);
  Result CallLoopMethod(const Callable& method, const Arguments& arguments);

  // Puts the line before the first error met on the way out.
  absl::Status Locate(int line, absl::Status status);
  absl::Status Exhausted() const;

  const Program& program_;
  Arena& arena_;
  Scope* globals_;
  const absl::CivilSecond now_;
  TextBuilder* output_ = nullptr;
  const Value* filter_input_ = nullptr;  // what a chain of filters without an operand begins with
  int depth_ = 0;
  bool located_ = false;
};

}  // namespace potluck::model::jinja
