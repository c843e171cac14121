#include "model/chat_template/expression_parser.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "common/status_macros.h"

namespace potluck::model::jinja {

using Type = Expression::Type;
using Parsed = ExpressionParser::Parsed;

Expression& ExpressionParser::New(Type type) {
  Expression& expression = program_.expressions.emplace_back();
  expression.type = type;
  expression.line = Peek().line;
  return expression;
}

bool ExpressionParser::TakeOperator(std::string_view op) {
  if (!Peek().IsOperator(op)) return false;
  Take();
  return true;
}

bool ExpressionParser::TakeName(std::string_view name) {
  if (!Peek().IsName(name)) return false;
  Take();
  return true;
}

absl::Status ExpressionParser::ExpectOperator(std::string_view op) {
  return TakeOperator(op) ? absl::OkStatus() : Unexpected(op);
}

absl::StatusOr<std::string> ExpressionParser::ExpectName() {
  if (Peek().kind != TokenKind::kName) return Unexpected("a name");
  return Take().text;
}

absl::Status ExpressionParser::Unexpected(std::string_view wanted) const {
  const bool end = Peek().kind == TokenKind::kEnd;
  return SyntaxError(
      Peek().line, absl::StrCat(end ? std::string("the template ends")
                                    : absl::StrCat("unexpected '", Printable(Peek().text, 40), "'"),
                                " where ", ToAbsl(wanted), " should be"));
}

Parsed ExpressionParser::ParseExpression(bool with_condition) {
  if (++depth_ > kMaxDepth) return SyntaxError(Peek().line, "nested too deeply");
  const absl::Cleanup leave = [this] { --depth_; };
  POTLUCK_ASSIGN_OR_RETURN(const Expression* value, ParseOr());
  while (with_condition && Peek().IsName("if")) {
    Expression& choice = New(Type::kCondition);
    Take();
    choice.a = value;
    POTLUCK_ASSIGN_OR_RETURN(choice.b, ParseOr());
    if (TakeName("else")) {
      POTLUCK_ASSIGN_OR_RETURN(choice.c, ParseExpression());
    }
    value = &choice;
  }
  return value;
}

bool ExpressionParser::TupleEnds() const {
  return Peek().kind == TokenKind::kVariableEnd || Peek().kind == TokenKind::kBlockEnd ||
         Peek().IsOperator(")") || Peek().IsOperator("]");
}

Parsed ExpressionParser::ParseTuple(bool with_condition) {
  POTLUCK_ASSIGN_OR_RETURN(const Expression* first, ParseExpression(with_condition));
  if (!Peek().IsOperator(",")) return first;
  Expression& tuple = New(Type::kTuple);
  tuple.items.push_back(first);
  while (TakeOperator(",")) {
    if (TupleEnds()) break;
    POTLUCK_ASSIGN_OR_RETURN(const Expression* item, ParseExpression(with_condition));
    tuple.items.push_back(item);
  }
  return &tuple;
}

Parsed ExpressionParser::ParseTarget(bool with_attribute) {
  if (++depth_ > kMaxDepth) return SyntaxError(Peek().line, "nested too deeply");
  const absl::Cleanup leave = [this] { --depth_; };
  std::vector<const Expression*> items;
  bool is_tuple = false;
  while (true) {
    if (is_tuple && (Peek().IsName("in") || Peek().IsOperator("=") || TupleEnds())) break;
    if (TakeOperator("(")) {
      POTLUCK_ASSIGN_OR_RETURN(const Expression* inner, ParseTarget(with_attribute));
      POTLUCK_RETURN_IF_ERROR(ExpectOperator(")"));
      items.push_back(inner);
    } else {
      Expression& name = New(Type::kName);
      POTLUCK_ASSIGN_OR_RETURN(name.name, ExpectName());
      const bool reserved = name.name == "true" || name.name == "false" || name.name == "none" ||
                            name.name == "True" || name.name == "False" || name.name == "None";
      if (reserved) return SyntaxError(name.line, name.name + " can't be assigned to");
      items.push_back(&name);
      if (with_attribute && TakeOperator(".")) {
        Expression& attribute = New(Type::kAttribute);
        program_.names.insert(name.name);
        attribute.a = &name;
        POTLUCK_ASSIGN_OR_RETURN(attribute.name, ExpectName());
        items.back() = &attribute;
      }
    }
    if (!TakeOperator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) return items[0];
  Expression& tuple = New(Type::kTuple);
  tuple.items = std::move(items);
  return &tuple;
}

Parsed ExpressionParser::Binary(std::initializer_list<std::string_view> operators, Step operand) {
  POTLUCK_ASSIGN_OR_RETURN(const Expression* left, (this->*operand)());
  while (true) {
    const Token& token = Peek();
    const bool listed =
        (token.kind == TokenKind::kOperator || token.kind == TokenKind::kName) &&
        std::find(operators.begin(), operators.end(), token.text) != operators.end();
    if (!listed) return left;
    Expression& node = New(Type::kBinary);
    node.name = Take().text;
    node.a = left;
    POTLUCK_ASSIGN_OR_RETURN(node.b, (this->*operand)());
    left = &node;
  }
}

Parsed ExpressionParser::ParseOr() { return Binary({"or"}, &ExpressionParser::ParseAnd); }
Parsed ExpressionParser::ParseAnd() { return Binary({"and"}, &ExpressionParser::ParseNot); }
Parsed ExpressionParser::ParseSum() {
  return Binary({"+", "-"}, &ExpressionParser::ParseConcatenation);
}
Parsed ExpressionParser::ParseConcatenation() {
  return Binary({"~"}, &ExpressionParser::ParseProduct);
}
Parsed ExpressionParser::ParseProduct() {
  return Binary({"*", "/", "//", "%"}, &ExpressionParser::ParsePower);
}
Parsed ExpressionParser::ParsePower() { return Binary({"**"}, &ExpressionParser::ParseUnary); }

Parsed ExpressionParser::ParseNot() {
  if (!Peek().IsName("not")) return ParseComparison();
  if (++depth_ > kMaxDepth) return SyntaxError(Peek().line, "nested too deeply");
  const absl::Cleanup leave = [this] { --depth_; };
  Expression& node = New(Type::kUnary);
  node.name = Take().text;
  POTLUCK_ASSIGN_OR_RETURN(node.a, ParseNot());
  return &node;
}

Parsed ExpressionParser::ParseComparison() {
  POTLUCK_ASSIGN_OR_RETURN(const Expression* first, ParseSum());
  Expression* node = nullptr;
  while (true) {
    std::string op;
    for (std::string_view known : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (Peek().IsOperator(known)) op = known;
    }
    if (Peek().IsName("in")) op = "in";
    if (Peek().IsName("not") && Peek(1).IsName("in")) op = "not in";
    if (op.empty()) return node == nullptr ? first : node;
    if (node == nullptr) {
      node = &New(Type::kCompare);
      node->a = first;
    }
    Take();
    if (op == "not in") Take();
    POTLUCK_ASSIGN_OR_RETURN(const Expression* operand, ParseSum());
    node->operators.push_back(op);
    node->items.push_back(operand);
  }
}

Parsed ExpressionParser::ParseSigned(bool with_filters) {
  const Expression* value = nullptr;
  if (Peek().IsOperator("-") || Peek().IsOperator("+")) {
    if (++depth_ > kMaxDepth) return SyntaxError(Peek().line, "nested too deeply");
    const absl::Cleanup leave = [this] { --depth_; };
    Expression& node = New(Type::kUnary);
    node.name = Take().text;
    POTLUCK_ASSIGN_OR_RETURN(node.a, ParseSigned(false));
    value = &node;
  } else {
    POTLUCK_ASSIGN_OR_RETURN(value, ParsePrimary());
  }
  POTLUCK_ASSIGN_OR_RETURN(value, ParsePostfix(value));
  return with_filters ? ParseFilters(value) : value;
}

Parsed ExpressionParser::ParseNumber() {
  Expression& node = New(Type::kConstant);
  const Token& token = Take();
  if (token.kind == TokenKind::kFloat) {
    double real = 0;
    if (!absl::SimpleAtod(token.text, &real)) return SyntaxError(node.line, "a bad number");
    node.constant = Value::Float(real);
    return &node;
  }
  std::string_view digits = token.text;
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    const char c = static_cast<char>(digits[1] | 0x20);
    base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
    if (base != 10) digits.remove_prefix(2);
  }
  int64_t integer = 0;
  bool bad = digits.empty();
  for (const char c : digits) {
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    bad = bad || digit >= base || __builtin_mul_overflow(integer, base, &integer) ||
          __builtin_add_overflow(integer, digit, &integer);
  }
  if (bad) return SyntaxError(node.line, "a number is malformed or beyond 64 bits");
  node.constant = Value::Int(integer);
  return &node;
}

Parsed ExpressionParser::ParsePrimary() {
  const Token& token = Peek();
  if (token.kind == TokenKind::kInt || token.kind == TokenKind::kFloat) return ParseNumber();
  if (token.kind == TokenKind::kString) {
    Expression& node = New(Type::kConstant);
    std::string text;
    while (Peek().kind == TokenKind::kString) text += Take().text;
    node.constant = program_.arena.String(text, true);
    return &node;
  }
  if (token.kind == TokenKind::kName) {
    Expression& node = New(Type::kConstant);
    const std::string& name = Take().text;
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      node.constant = Value::Bool(name[0] == 't' || name[0] == 'T');
    } else if (name == "none" || name == "None") {
      node.constant = Value::None();
    } else {
      node.type = Type::kName;
      node.name = name;
      program_.names.insert(name);
    }
    return &node;
  }
  if (token.IsOperator("[")) return ParseListLiteral();
  if (token.IsOperator("{")) return ParseDictLiteral();
  if (!token.IsOperator("(")) return Unexpected("an expression");
  Take();
  if (TakeOperator(")")) return &New(Type::kTuple);
  POTLUCK_ASSIGN_OR_RETURN(const Expression* inner, ParseTuple());
  POTLUCK_RETURN_IF_ERROR(ExpectOperator(")"));
  return inner;
}

Parsed ExpressionParser::ParseListLiteral() {
  Expression& list = New(Type::kList);
  Take();
  while (!TakeOperator("]")) {
    if (!list.items.empty()) {
      POTLUCK_RETURN_IF_ERROR(ExpectOperator(","));
      if (TakeOperator("]")) break;
    }
    POTLUCK_ASSIGN_OR_RETURN(const Expression* item, ParseExpression());
    list.items.push_back(item);
  }
  return &list;
}

Parsed ExpressionParser::ParseDictLiteral() {
  Expression& dict = New(Type::kDict);
  Take();
  while (!TakeOperator("}")) {
    if (!dict.items.empty()) {
      POTLUCK_RETURN_IF_ERROR(ExpectOperator(","));
      if (TakeOperator("}")) break;
    }
    POTLUCK_ASSIGN_OR_RETURN(const Expression* key, ParseExpression());
    POTLUCK_RETURN_IF_ERROR(ExpectOperator(":"));
    POTLUCK_ASSIGN_OR_RETURN(const Expression* value, ParseExpression());
    dict.items.push_back(key);
    dict.items.push_back(value);
  }
  return &dict;
}

Parsed ExpressionParser::ParsePostfix(const Expression* node) {
  while (true) {
    if (Peek().IsOperator("(")) {
      Expression& call = New(Type::kCall);
      call.a = node;
      POTLUCK_RETURN_IF_ERROR(ParseArguments(call));
      node = &call;
    } else if (Peek().IsOperator("[")) {
      POTLUCK_ASSIGN_OR_RETURN(node, ParseSubscript(node));
    } else if (TakeOperator(".")) {
      if (Peek().kind == TokenKind::kInt) {
        Expression& item = New(Type::kItem);
        item.a = node;
        POTLUCK_ASSIGN_OR_RETURN(item.b, ParseNumber());
        node = &item;
        continue;
      }
      Expression& attribute = New(Type::kAttribute);
      attribute.a = node;
      POTLUCK_ASSIGN_OR_RETURN(attribute.name, ExpectName());
      node = &attribute;
    } else {
      return node;
    }
  }
}

Parsed ExpressionParser::ParseSubscript(const Expression* node) {
  Expression& item = New(Type::kItem);
  Take();
  item.a = node;
  const Expression* parts[3] = {nullptr, nullptr, nullptr};
  size_t part = 0;
  while (!Peek().IsOperator("]")) {
    if (TakeOperator(":")) {
      if (++part == 3) return Unexpected("]");
    } else if (parts[part] != nullptr) {
      return Unexpected("]");
    } else {
      POTLUCK_ASSIGN_OR_RETURN(parts[part], ParseTuple());
    }
  }
  Take();
  if (part > 0) {
    item.type = Type::kSlice;
    item.items.assign(parts, parts + 3);
  } else if (parts[0] == nullptr) {
    return SyntaxError(item.line, "[] needs something between its brackets here");
  }
  item.b = parts[0];
  return &item;
}

Parsed ExpressionParser::ParseFilters(const Expression* node) {
  while (true) {
    if (Peek().IsOperator("|")) {
      Expression& filter = New(Type::kFilter);
      Take();
      filter.a = node;
      POTLUCK_ASSIGN_OR_RETURN(filter.name, ExpectName());
      if (Peek().IsOperator("(")) POTLUCK_RETURN_IF_ERROR(ParseArguments(filter));
      node = &filter;
    } else if (Peek().IsName("is")) {
      POTLUCK_ASSIGN_OR_RETURN(node, ParseTest(node));
    } else if (Peek().IsOperator("(")) {
      Expression& call = New(Type::kCall);
      call.a = node;
      POTLUCK_RETURN_IF_ERROR(ParseArguments(call));
      node = &call;
    } else {
      return node;
    }
  }
}

Parsed ExpressionParser::ParseTest(const Expression* node) {
  Expression& test = New(Type::kTest);
  Take();
  test.a = node;
  const bool negated = TakeName("not");
  POTLUCK_ASSIGN_OR_RETURN(test.name, ExpectName());
  const Token& next = Peek();
  const bool stops =
      next.IsName("else") || next.IsName("or") || next.IsName("and") || next.IsName("is");
  const bool starts = next.kind == TokenKind::kName || next.kind == TokenKind::kString ||
                      next.kind == TokenKind::kInt || next.kind == TokenKind::kFloat ||
                      next.IsOperator("[") || next.IsOperator("{");
  if (next.IsOperator("(")) {
    POTLUCK_RETURN_IF_ERROR(ParseArguments(test));
  } else if (starts && !stops) {
    POTLUCK_ASSIGN_OR_RETURN(const Expression* argument, ParsePrimary());
    POTLUCK_ASSIGN_OR_RETURN(argument, ParsePostfix(argument));
    test.items.push_back(argument);
  }
  return negated ? Negate(&test) : &test;
}

const Expression* ExpressionParser::Negate(const Expression* value) {
  Expression& node = New(Type::kUnary);
  node.name = "not";
  node.a = value;
  return &node;
}

absl::Status ExpressionParser::ParseArguments(Expression& call) {
  POTLUCK_RETURN_IF_ERROR(ExpectOperator("("));
  bool first = true;
  while (!TakeOperator(")")) {
    if (!first) {
      POTLUCK_RETURN_IF_ERROR(ExpectOperator(","));
      if (TakeOperator(")")) break;
    }
    first = false;
    if (Peek().IsOperator("*") || Peek().IsOperator("**")) {
      return SyntaxError(Peek().line, "calls with * or ** are not supported");
    }
    if (Peek().kind == TokenKind::kName && Peek(1).IsOperator("=")) {
      std::string name = Take().text;
      Take();
      POTLUCK_ASSIGN_OR_RETURN(const Expression* value, ParseExpression());
      call.named.emplace_back(std::move(name), value);
      continue;
    }
    if (!call.named.empty()) return Unexpected("a named argument");
    POTLUCK_ASSIGN_OR_RETURN(const Expression* value, ParseExpression());
    call.items.push_back(value);
  }
  return absl::OkStatus();
}

absl::Status ExpressionParser::ParseParameters(MacroNode& macro) {
  POTLUCK_RETURN_IF_ERROR(ExpectOperator("("));
  while (!TakeOperator(")")) {
    if (!macro.parameters.empty()) {
      POTLUCK_RETURN_IF_ERROR(ExpectOperator(","));
      if (TakeOperator(")")) break;
    }
    POTLUCK_ASSIGN_OR_RETURN(std::string name, ExpectName());
    macro.parameters.push_back(std::move(name));
    if (TakeOperator("=")) {
      POTLUCK_ASSIGN_OR_RETURN(const Expression* value, ParseExpression());
      macro.defaults.push_back(value);
    } else if (!macro.defaults.empty()) {
      return Unexpected("a default value");
    }
  }
  return absl::OkStatus();
}

Parsed ExpressionParser::ParseFilterChain() {
  Expression& first = New(Type::kFilter);
  POTLUCK_ASSIGN_OR_RETURN(first.name, ExpectName());
  if (Peek().IsOperator("(")) POTLUCK_RETURN_IF_ERROR(ParseArguments(first));
  return ParseFilters(&first);
}

}  // namespace potluck::model::jinja
