#include "coordinator/api/http/text_answers.h"

#include <cstdint>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"
#include "coordinator/api/http/conversation_fields.h"
#include "coordinator/api/http/tool_fields.h"
#include "coordinator/api/request_fields.h"

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const int bytes = DecodeUtf8(text);
    if (bytes == 0) return false;
    text.remove_prefix(static_cast<size_t>(bytes));
  }
  return true;
}

// A part of a character is told as its bytes.
ordered_json PieceJson(const model::Tokenizer& tokenizer, model::TokenId id) {
  const std::string piece =
      tokenizer.Decode({&id, 1}, {.continuation = true, .show_control = true});
  ordered_json json = {{"id", id}};
  if (IsUtf8(piece)) {
    json["piece"] = piece;
  } else {
    json["piece"] = std::vector<uint8_t>(piece.begin(), piece.end());
  }
  return json;
}

absl::StatusOr<ordered_json> Tokens(const model::Tokenizer& tokenizer,
                                    const TextQuestion& question) {
  POTLUCK_ASSIGN_OR_RETURN(
      const std::vector<model::TokenId> ids,
      tokenizer.Encode(question.content, {.add_special = question.add_special,
                                          .parse_control = question.parse_special}));
  ordered_json tokens = ordered_json::array();
  for (const model::TokenId id : ids)
    tokens.push_back(question.with_pieces ? PieceJson(tokenizer, id) : ordered_json(id));
  return ordered_json{{"tokens", std::move(tokens)}};
}

}  // namespace

absl::StatusOr<TextQuestion> ParseTextQuestion(std::string_view text, TextQuestion::Kind kind) {
  POTLUCK_ASSIGN_OR_RETURN(const model::Json body, model::ParseJsonObject(text, "the body"));
  TextQuestion question{.kind = kind};
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "model", question.model));
  if (kind == TextQuestion::Kind::kTokenize) {
    if (model::FindKey(body, "content") == nullptr) return BadField("content", "a string");
    POTLUCK_RETURN_IF_ERROR(ReadText(body, "content", question.content));
    POTLUCK_RETURN_IF_ERROR(ReadBool(body, "add_special", question.add_special));
    POTLUCK_RETURN_IF_ERROR(ReadBool(body, "parse_special", question.parse_special));
    POTLUCK_RETURN_IF_ERROR(ReadBool(body, "with_pieces", question.with_pieces));
  } else if (kind == TextQuestion::Kind::kDetokenize) {
    const model::Json* tokens = model::FindKey(body, "tokens");
    auto ids = tokens == nullptr ? std::nullopt : TokenIds(*tokens);
    if (!ids.has_value()) return BadField("tokens", "an array of token ids");
    question.tokens = *std::move(ids);
  } else {
    POTLUCK_RETURN_IF_ERROR(ReadConversation(body, question.conversation));
    POTLUCK_RETURN_IF_ERROR(ReadTools(text, body, question.conversation, question.tools));
  }
  return question;
}

absl::StatusOr<ordered_json> AnswerText(const model::TextCodec& text, const TextQuestion& question,
                                        absl::CivilSecond now) {
  switch (question.kind) {
    case TextQuestion::Kind::kTokenize:
      return Tokens(text.tokenizer(), question);
    case TextQuestion::Kind::kDetokenize:
      return ordered_json{
          {"content", text.tokenizer().Decode(question.tokens, {.show_control = true})}};
    case TextQuestion::Kind::kApplyTemplate:
      break;
  }
  POTLUCK_ASSIGN_OR_RETURN(const model::TextSpans spans,
                           text.RenderChat({.messages = question.conversation.messages,
                                            .tools = question.conversation.tools,
                                            .extra = question.conversation.extra,
                                            .now = now},
                                           question.tools));
  std::string prompt;
  for (const model::TextSpan& span : spans) prompt += span.text;
  return ordered_json{{"prompt", std::move(prompt)}};
}

}  // namespace potluck::coordinator
