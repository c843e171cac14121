// What an answer has to look like, as clients say it: response_format (OpenAI's), json_schema and
// grammar (llama-server's).
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "coordinator/api/answer_request.h"
#include "model/bounded_json.h"

namespace potluck::coordinator {

// `text` is the body as it came: the members of a schema have an order. Sets `asked.schema` or
// `asked.sampling.grammar`, where it asks for one. InvalidArgument names the field.
absl::Status ReadResponseFormat(std::string_view text, const model::Json& body,
                                AnswerRequest& asked);

}  // namespace potluck::coordinator
