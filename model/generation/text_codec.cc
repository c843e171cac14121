#include "model/generation/text_codec.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "model/generation/context_overflow.h"
#include "model/generation/reasoning_text.h"
#include "model/tool_calls/tool_prompt.h"

namespace potluck::model {
namespace {

std::string TokenTextOrEmpty(const Tokenizer& tokenizer, std::optional<TokenId> id) {
  return id.has_value() ? std::string(tokenizer.TokenText(*id)) : std::string();
}

SamplingParams Recommended(const SamplingDefaults& defaults) {
  SamplingParams params;
  params.temperature = defaults.temperature.value_or(params.temperature);
  params.top_k = defaults.top_k.value_or(params.top_k);
  params.top_p = defaults.top_p.value_or(params.top_p);
  params.min_p = defaults.min_p.value_or(params.min_p);
  params.repeat_penalty = defaults.repeat_penalty.value_or(params.repeat_penalty);
  return params;
}

}  // namespace

absl::StatusOr<TextCodec> TextCodec::Create(const ModelFile& file) {
  TextCodec codec;
  POTLUCK_ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabulary(file));
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Create(std::move(vocabulary));
  POTLUCK_RETURN_IF_ERROR(InFile(tokenizer.status(), file.path));
  codec.tokenizer_ = *std::move(tokenizer);
  codec.has_chat_template_ = file.chat_template.has_value();
  if (codec.has_chat_template_) {
    codec.chat_template_ = ChatTemplate::Parse(*file.chat_template);
    if (!codec.chat_template_.ok()) {
      codec.chat_template_ = InFile(codec.chat_template_.status(), file.path);
    }
  }
  if (codec.chat_template_.ok()) codec.tool_format_ = ToolFormatOf(*codec.chat_template_);
  codec.default_sampling_ = Recommended(file.sampling_defaults);
  codec.end_tokens_ = file.sampling_defaults.end_tokens;
  return codec;
}

absl::Status TextCodec::CheckLength(size_t text_bytes, int64_t context_length) const {
  const auto fewest = static_cast<int64_t>(tokenizer_->FewestIds(text_bytes));
  if (fewest < context_length) return absl::OkStatus();
  return ContextOverflowError({.prompt_tokens = fewest, .context_length = context_length},
                              "shorten the prompt");
}

absl::StatusOr<std::vector<TokenId>> TextCodec::EncodeText(std::string_view text,
                                                           int64_t context_length) const {
  POTLUCK_RETURN_IF_ERROR(CheckLength(text.size(), context_length));
  return tokenizer_->Encode(text);
}

absl::StatusOr<TextSpans> TextCodec::RenderChat(ChatInput input, const ToolUse& tools) const {
  POTLUCK_RETURN_IF_ERROR(chat_template_.status());
  input.bos_token = TokenTextOrEmpty(*tokenizer_, tokenizer_->bos());
  input.eos_token = TokenTextOrEmpty(*tokenizer_, tokenizer_->eos());
  if (!tools.may_call()) input.tools = nullptr;
  if (tool_format_ != ToolFormat::kGeneric) return chat_template_->Render(input);
  ChatInput described = input;
  DescribeTools(tools, ToolPrompt::kInSystemMessage, described);
  absl::StatusOr<TextSpans> text = chat_template_->Render(described);
  if (text.ok() || !tools.may_call()) return text;
  // Some templates refuse system messages.
  DescribeTools(tools, ToolPrompt::kInFirstUserMessage, input);
  absl::StatusOr<TextSpans> otherwise = chat_template_->Render(input);
  return otherwise.ok() ? std::move(otherwise) : std::move(text);
}

absl::StatusOr<ChatPrompt> TextCodec::EncodeChat(ChatInput input, const ToolUse& tools,
                                                 int64_t context_length) const {
  POTLUCK_ASSIGN_OR_RETURN(const TextSpans text, RenderChat(std::move(input), tools));
  size_t text_bytes = 0;
  for (const TextSpan& span : text) text_bytes += span.text.size();
  POTLUCK_RETURN_IF_ERROR(CheckLength(text_bytes, context_length));
  ChatPrompt prompt;
  std::vector<TokenId>& ids = prompt.ids;
  POTLUCK_ASSIGN_OR_RETURN(ids, tokenizer_->Encode(text, {.add_special = false}));
  // Most templates write BOS themselves; where one doesn't, the vocabulary's own rule holds.
  const auto bos = tokenizer_->bos();
  if (tokenizer_->adds_bos() && bos.has_value() && (ids.empty() || ids.front() != *bos))
    ids.insert(ids.begin(), *bos);
  prompt.opens_reasoning =
      !text.empty() &&
      absl::EndsWith(absl::StripTrailingAsciiWhitespace(text.back().text), ToAbsl(kThinkOpen));
  return prompt;
}

}  // namespace potluck::model
