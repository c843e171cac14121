// Fields that several endpoints take alike: a conversation, token ids, prompts.
#pragma once

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/api/answer_request.h"
#include "model/bounded_json.h"

namespace potluck::coordinator {

// "messages", "reasoning_effort" and "chat_template_kwargs". A message's content is a string, null
// (an assistant's) or parts of text.
absl::Status ReadConversation(const model::Json& body, Conversation& conversation);

// Nothing where it is no array of ids.
std::optional<std::vector<model::TokenId>> TokenIds(const model::Json& json);

// A text or an array of token ids, or an array of at most `most` of either.
absl::Status ReadPrompts(const model::Json& body, const char* field, size_t most,
                         std::vector<Prompt>& prompts);

}  // namespace potluck::coordinator
