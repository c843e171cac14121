// The text side of a model: what turns conversations and plain text into token ids, and what its
// makers recommend. It needs no weights, so a coordinator has it for every model it serves.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/chat_template/chat_template.h"
#include "model/model_file.h"
#include "model/sampling/sampler.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tool_calls/tool_format.h"
#include "model/tool_calls/tool_use.h"

namespace potluck::model {

struct ChatPrompt {
  std::vector<TokenId> ids;
  bool opens_reasoning = false;  // the template has begun the model's reasoning (reasoning_text.h)
};

// Thread-safe after construction.
class TextCodec {
 public:
  static constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

  // Errors name the file and what is wrong with its vocabulary. A chat template that cannot be read
  // is an error of EncodeChat alone.
  static absl::StatusOr<TextCodec> Create(const ModelFile& file);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  bool has_chat_template() const { return has_chat_template_; }
  // How the model writes calls of tools.
  ToolFormat tool_format() const { return tool_format_; }

  // A conversation as the model was trained to read it, up to where its answer begins. Without a
  // template of its own: ChatML. The input's bos_token and eos_token are the vocabulary's.
  // Tools are told as the template knows them, or as DescribeTools does; ones that must not be
  // called are not.
  absl::StatusOr<TextSpans> RenderChat(ChatInput input, const ToolUse& tools = {}) const;
  // `context_length`: a text that must have at least so many tokens is a ContextOverflowError,
  // before time is spent on encoding it; anything else is encoded, longer or not.
  absl::StatusOr<ChatPrompt> EncodeChat(ChatInput input, const ToolUse& tools = {},
                                        int64_t context_length = kNoLimit) const;
  // Plain text to be continued.
  absl::StatusOr<std::vector<TokenId>> EncodeText(std::string_view text,
                                                  int64_t context_length = kNoLimit) const;

  // The makers' recommendations over our own defaults.
  const SamplingParams& default_sampling() const { return default_sampling_; }
  // End a turn, beside the vocabulary's own.
  const std::vector<TokenId>& end_tokens() const { return end_tokens_; }
  // What a person should know of the vocabulary.
  const std::vector<std::string>& warnings() const { return tokenizer_->warnings(); }

 private:
  TextCodec() = default;
  absl::Status CheckLength(size_t text_bytes, int64_t context_length) const;

  std::unique_ptr<Tokenizer> tokenizer_;
  bool has_chat_template_ = false;
  absl::StatusOr<ChatTemplate> chat_template_ = ChatTemplate::ChatMl();
  ToolFormat tool_format_ = ToolFormat::kGeneric;
  SamplingParams default_sampling_;
  std::vector<TokenId> end_tokens_;
};

}  // namespace potluck::model
