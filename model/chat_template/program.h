// A parsed template: a tree of statements and expressions. It owns its nodes and never changes, so
// many renders may walk it at once.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/chat_template/value.h"

namespace potluck::model::jinja {

struct Expression {
  enum class Type : uint8_t {
    kConstant,   // constant
    kName,       // name
    kList,       // items
    kTuple,      // items
    kDict,       // items: key, value, key, value, ...
    kUnary,      // name: "-", "+", "not"; a
    kBinary,     // name: "+", "~", "and", ...; a, b
    kCompare,    // a, then pairs of operators and items
    kCondition,  // a if b else c (c may be null)
    kAttribute,  // a . name
    kItem,       // a [ b ]
    kSlice,      // a [ items[0] : items[1] : items[2] ], each may be null
    kCall,       // a ( items, named )
    kFilter,     // a | name ( items, named ); a is null in filter blocks
    kTest,       // a is name ( items, named )
  };
  Type type = Type::kConstant;
  int line = 0;
  std::string name;
  Value constant;
  const Expression* a = nullptr;
  const Expression* b = nullptr;
  const Expression* c = nullptr;
  std::vector<const Expression*> items;
  std::vector<std::string> operators;
  std::vector<std::pair<std::string, const Expression*>> named;
};

struct Statement;
using Body = std::vector<const Statement*>;

struct Statement {
  enum class Type : uint8_t {
    kText,      // text
    kPrint,     // value
    kIf,        // branches; otherwise
    kFor,       // target, value, condition (or null), body, otherwise
    kSet,       // target, value
    kSetBlock,  // target, value (a chain of filters, or null), body
    kMacro,     // macro
    kCall,      // value (a call), macro (what caller() runs)
    kFilter,    // value (a chain of filters), body
    kWith,      // assignments, body
    kScope,     // body in a scope of its own ({% generation %})
    kBreak,
    kContinue,
  };
  Type type = Type::kText;
  int line = 0;
  Value text;
  const Expression* target = nullptr;  // kName, kTuple, or kAttribute of a namespace
  const Expression* value = nullptr;
  const Expression* condition = nullptr;
  std::vector<std::pair<const Expression*, Body>> branches;
  std::vector<std::pair<const Expression*, const Expression*>> assignments;
  Body body;
  Body otherwise;
  const MacroNode* macro = nullptr;
};

struct MacroNode {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<const Expression*> defaults;  // of the last parameters
  Body body;
};

struct Program {
  Program() : arena(INT64_MAX / 2) {}

  Body body;
  std::set<std::string> names;  // every variable that is read
  std::deque<Expression> expressions;
  std::deque<Statement> statements;
  std::deque<MacroNode> macros;
  Arena arena;  // of the constants
};

}  // namespace potluck::model::jinja
