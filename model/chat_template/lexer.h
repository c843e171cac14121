// Cuts a template into tokens: text, and what stands between {{ }} and {% %}. Comments vanish here,
// and white space is removed as jinja2 does with trim_blocks and lstrip_blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace potluck::model::jinja {

enum class TokenKind : uint8_t {
  kData,           // text outside of tags
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,  // text holds the string's value
  kInt,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1;

  bool Is(TokenKind wanted, std::string_view with) const { return kind == wanted && text == with; }
  bool IsOperator(std::string_view op) const { return Is(TokenKind::kOperator, op); }
  bool IsName(std::string_view name) const { return Is(TokenKind::kName, name); }
};

// The tokens of `source`, the last one kEnd. InvalidArgument names the line.
absl::StatusOr<std::vector<Token>> Tokenize(const std::string& source);

absl::Status SyntaxError(int line, std::string_view what);

}  // namespace potluck::model::jinja
