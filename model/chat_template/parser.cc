#include "model/chat_template/parser.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "common/status_macros.h"
#include "model/chat_template/expression_parser.h"

namespace potluck::model::jinja {
namespace {

using Type = Statement::Type;
using ParsedStatement = absl::StatusOr<const Statement*>;

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  absl::Status ParseAll() {
    POTLUCK_RETURN_IF_ERROR(ParseBody({}, program_.body));
    return absl::OkStatus();
  }

 private:
  Statement& New(Type type) {
    Statement& statement = program_.statements.emplace_back();
    statement.type = type;
    statement.line = Peek().line;
    return statement;
  }

  absl::Status ExpectBlockEnd() {
    if (Peek().kind != TokenKind::kBlockEnd) return Unexpected("%}");
    Take();
    return absl::OkStatus();
  }

  // Statements up to the tag {% NAME with NAME in `ends`, which is left as the next token; with no
  // `ends`, up to the end of the template.
  absl::Status ParseBody(std::initializer_list<std::string_view> ends, Body& body) {
    if (++blocks_ > kMaxDepth) return SyntaxError(Peek().line, "blocks are nested too deeply");
    const absl::Cleanup leave = [this] { --blocks_; };
    const int begin_line = Peek().line;
    while (true) {
      switch (Peek().kind) {
        case TokenKind::kEnd: {
          if (ends.size() == 0) return absl::OkStatus();
          const std::string_view end = *(ends.end() - 1);
          return SyntaxError(begin_line, absl::StrCat("a block has no {% ", ToAbsl(end), " %}"));
        }
        case TokenKind::kData: {
          Statement& text = New(Type::kText);
          text.text = program_.arena.String(Take().text, true);
          body.push_back(&text);
          break;
        }
        case TokenKind::kVariableBegin: {
          Statement& print = New(Type::kPrint);
          Take();
          POTLUCK_ASSIGN_OR_RETURN(print.value, ParseTuple());
          if (Peek().kind != TokenKind::kVariableEnd) return Unexpected("}}");
          Take();
          body.push_back(&print);
          break;
        }
        default: {
          Take();  // {%
          const bool ended = Peek().kind == TokenKind::kName &&
                             std::find(ends.begin(), ends.end(), Peek().text) != ends.end();
          if (ended) return absl::OkStatus();
          POTLUCK_ASSIGN_OR_RETURN(const Statement* statement, ParseStatement());
          body.push_back(statement);
          POTLUCK_RETURN_IF_ERROR(ExpectBlockEnd());
        }
      }
    }
  }

  // Behind {% NAME ...: the block's body and its {% `end`, up to the last %}.
  absl::Status ParseBlock(std::string_view end, Body& body) {
    POTLUCK_RETURN_IF_ERROR(ExpectBlockEnd());
    POTLUCK_RETURN_IF_ERROR(ParseBody({end}, body));
    Take();
    return absl::OkStatus();
  }

  ParsedStatement ParseStatement() {
    const int line = Peek().line;
    POTLUCK_ASSIGN_OR_RETURN(const std::string name, ExpectName());
    if (name == "if") return ParseIf();
    if (name == "for") return ParseFor();
    if (name == "set") return ParseSet();
    if (name == "macro") return ParseMacro();
    if (name == "call") return ParseCall();
    if (name == "with") return ParseWith();
    if (name == "filter") {
      Statement& filter = New(Type::kFilter);
      POTLUCK_ASSIGN_OR_RETURN(filter.value, ParseFilterChain());
      POTLUCK_RETURN_IF_ERROR(ParseBlock("endfilter", filter.body));
      return &filter;
    }
    if (name == "generation") {
      Statement& scope = New(Type::kScope);
      const int loops = std::exchange(loops_, 0);
      POTLUCK_RETURN_IF_ERROR(ParseBlock("endgeneration", scope.body));
      loops_ = loops;
      return &scope;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) return SyntaxError(line, name + " outside of a loop");
      return &New(name == "break" ? Type::kBreak : Type::kContinue);
    }
    return SyntaxError(line, absl::StrCat("{% ", Printable(name, 40),
                                          " %} is unknown or out of place in a chat template"));
  }

  ParsedStatement ParseIf() {
    Statement& statement = New(Type::kIf);
    while (true) {
      auto& branch = statement.branches.emplace_back();
      POTLUCK_ASSIGN_OR_RETURN(branch.first, ParseTuple(false));
      POTLUCK_RETURN_IF_ERROR(ExpectBlockEnd());
      POTLUCK_RETURN_IF_ERROR(ParseBody({"elif", "else", "endif"}, branch.second));
      if (TakeName("elif")) continue;
      if (TakeName("else")) {
        POTLUCK_RETURN_IF_ERROR(ParseBlock("endif", statement.otherwise));
      } else {
        Take();
      }
      return &statement;
    }
  }

  ParsedStatement ParseFor() {
    Statement& loop = New(Type::kFor);
    POTLUCK_ASSIGN_OR_RETURN(loop.target, ParseTarget(false));
    if (!TakeName("in")) return Unexpected("in");
    POTLUCK_ASSIGN_OR_RETURN(loop.value, ParseTuple(false));
    if (TakeName("if")) {
      POTLUCK_ASSIGN_OR_RETURN(loop.condition, ParseExpression());
    }
    if (Peek().IsName("recursive")) {
      return SyntaxError(loop.line, "recursive loops are not supported");
    }
    POTLUCK_RETURN_IF_ERROR(ExpectBlockEnd());
    ++loops_;
    POTLUCK_RETURN_IF_ERROR(ParseBody({"else", "endfor"}, loop.body));
    --loops_;
    if (TakeName("else")) {
      POTLUCK_RETURN_IF_ERROR(ParseBlock("endfor", loop.otherwise));
    } else {
      Take();
    }
    return &loop;
  }

  ParsedStatement ParseSet() {
    Statement& set = New(Type::kSet);
    POTLUCK_ASSIGN_OR_RETURN(set.target, ParseTarget(true));
    if (TakeOperator("=")) {
      POTLUCK_ASSIGN_OR_RETURN(set.value, ParseTuple());
      return &set;
    }
    set.type = Type::kSetBlock;
    if (TakeOperator("|")) {
      POTLUCK_ASSIGN_OR_RETURN(set.value, ParseFilterChain());
    }
    POTLUCK_RETURN_IF_ERROR(ParseBlock("endset", set.body));
    return &set;
  }

  absl::Status ParseMacroBody(MacroNode& macro, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    POTLUCK_RETURN_IF_ERROR(ParseBlock(end, macro.body));
    loops_ = loops;
    return absl::OkStatus();
  }

  ParsedStatement ParseMacro() {
    Statement& statement = New(Type::kMacro);
    MacroNode& macro = program_.macros.emplace_back();
    statement.macro = &macro;
    POTLUCK_ASSIGN_OR_RETURN(macro.name, ExpectName());
    POTLUCK_RETURN_IF_ERROR(ParseParameters(macro));
    POTLUCK_RETURN_IF_ERROR(ParseMacroBody(macro, "endmacro"));
    return &statement;
  }

  ParsedStatement ParseCall() {
    Statement& statement = New(Type::kCall);
    MacroNode& macro = program_.macros.emplace_back();
    macro.name = "caller";
    statement.macro = &macro;
    if (Peek().IsOperator("(")) POTLUCK_RETURN_IF_ERROR(ParseParameters(macro));
    POTLUCK_ASSIGN_OR_RETURN(statement.value, ParseExpression());
    if (statement.value->type != Expression::Type::kCall) return Unexpected("a call of a macro");
    POTLUCK_RETURN_IF_ERROR(ParseMacroBody(macro, "endcall"));
    return &statement;
  }

  ParsedStatement ParseWith() {
    Statement& with = New(Type::kWith);
    while (Peek().kind != TokenKind::kBlockEnd) {
      if (!with.assignments.empty()) POTLUCK_RETURN_IF_ERROR(ExpectOperator(","));
      POTLUCK_ASSIGN_OR_RETURN(const Expression* target, ParseTarget(false));
      POTLUCK_RETURN_IF_ERROR(ExpectOperator("="));
      POTLUCK_ASSIGN_OR_RETURN(const Expression* value, ParseExpression());
      with.assignments.emplace_back(target, value);
    }
    POTLUCK_RETURN_IF_ERROR(ParseBlock("endwith", with.body));
    return &with;
  }

  int blocks_ = 0;
  int loops_ = 0;  // that a break would end
};

}  // namespace

absl::StatusOr<std::unique_ptr<Program>> ParseTemplate(const std::string& source) {
  POTLUCK_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  auto program = std::make_unique<Program>();
  POTLUCK_RETURN_IF_ERROR(Parser(std::move(tokens), *program).ParseAll());
  return program;
}

}  // namespace potluck::model::jinja
