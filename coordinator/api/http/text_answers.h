// The text side of a model by itself, as llama-server's clients ask for it:
//
//   POST /tokenize        {"content", "add_special", "parse_special", "with_pieces"} -> {"tokens"}
//   POST /detokenize      {"tokens"}                                                 -> {"content"}
//   POST /apply-template  {"messages", "tools", "chat_template_kwargs"}              -> {"prompt"}
//
// each with a "model" where several are loaded.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/api/answer_request.h"
#include "model/generation/text_codec.h"

namespace potluck::coordinator {

struct TextQuestion {
  enum class Kind { kTokenize, kDetokenize, kApplyTemplate };
  Kind kind = Kind::kTokenize;
  std::string model;                   // empty: whichever is loaded
  std::string content;                 // kTokenize
  bool add_special = false;            // the model's own tokens around it
  bool parse_special = true;           // spellings of control tokens become these tokens
  bool with_pieces = false;            // tell what each token stands for, too
  std::vector<model::TokenId> tokens;  // kDetokenize
  Conversation conversation;           // kApplyTemplate
  model::ToolUse tools;                // kApplyTemplate
};

// InvalidArgument, naming the field and what it may be.
absl::StatusOr<TextQuestion> ParseTextQuestion(std::string_view body, TextQuestion::Kind kind);
// `now`: what the template may print.
absl::StatusOr<nlohmann::ordered_json> AnswerText(const model::TextCodec& text,
                                                  const TextQuestion& question,
                                                  absl::CivilSecond now);

}  // namespace potluck::coordinator
