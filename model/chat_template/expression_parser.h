// Jinja's expressions, by recursive descent: condition > or > and > not > comparison > sum >
// concatenation (~) > product > power > sign > filters and tests > calls and items.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/chat_template/lexer.h"
#include "model/chat_template/program.h"

namespace potluck::model::jinja {

class ExpressionParser {
 public:
  static constexpr int kMaxDepth = 100;

  ExpressionParser(std::vector<Token> tokens, Program& program)
      : tokens_(std::move(tokens)), program_(program) {}

  using Parsed = absl::StatusOr<const Expression*>;

  Parsed ParseExpression(bool with_condition = true);
  // `a, b` as a tuple, else the one expression.
  Parsed ParseTuple(bool with_condition = true);
  // What can be assigned to: names, tuples of them and, where asked for, ns.attribute.
  Parsed ParseTarget(bool with_attribute);
  // `name(arguments) | name(arguments)...` over nothing: of filter and set blocks.
  Parsed ParseFilterChain();
  // The parenthesised parameters of a macro.
  absl::Status ParseParameters(MacroNode& macro);

  const Token& Peek(size_t ahead = 0) const {
    return tokens_[std::min(next_ + ahead, tokens_.size() - 1)];
  }
  const Token& Take() {
    const Token& token = Peek();
    if (next_ + 1 < tokens_.size()) ++next_;
    return token;
  }
  bool TakeOperator(std::string_view op);
  bool TakeName(std::string_view name);
  absl::Status ExpectOperator(std::string_view op);
  absl::StatusOr<std::string> ExpectName();
  absl::Status Unexpected(std::string_view wanted) const;

 private:
  using Step = Parsed (ExpressionParser::*)();

  Expression& New(Expression::Type type);
  Parsed Binary(std::initializer_list<std::string_view> operators, Step operand);
  Parsed ParseOr();
  Parsed ParseAnd();
  Parsed ParseNot();
  Parsed ParseComparison();
  Parsed ParseSum();
  Parsed ParseConcatenation();
  Parsed ParseProduct();
  Parsed ParsePower();
  Parsed ParseUnary() { return ParseSigned(true); }
  Parsed ParseSigned(bool with_filters);
  Parsed ParsePrimary();
  Parsed ParseNumber();
  Parsed ParseListLiteral();
  Parsed ParseDictLiteral();
  Parsed ParsePostfix(const Expression* node);
  Parsed ParseSubscript(const Expression* node);
  Parsed ParseFilters(const Expression* node);
  Parsed ParseTest(const Expression* node);
  const Expression* Negate(const Expression* value);
  absl::Status ParseArguments(Expression& call);
  bool TupleEnds() const;

  std::vector<Token> tokens_;
  size_t next_ = 0;
  int depth_ = 0;

 protected:
  Program& program_;
};

}  // namespace potluck::model::jinja
