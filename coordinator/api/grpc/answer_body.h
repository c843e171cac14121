// What somebody asks over gRPC in the words that the HTTP API takes, so that there is one place
// that says what a request may be: coordinator/api/http/completion_request.h.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "coordinator/api/answer_request.h"
#include "potluck/v1/inference.pb.h"

namespace potluck::coordinator {

// The JSON of a body of /v1/completions or /v1/chat/completions. InvalidArgument where a field that
// is JSON's text is not.
absl::StatusOr<std::string> CompletionBody(const v1::GenerateRequest& request);
absl::StatusOr<std::string> CompletionBody(const v1::ChatRequest& request);

// Of an embedding. InvalidArgument where it has ids that no vocabulary has.
absl::StatusOr<Prompt> PromptOf(const v1::Prompt& prompt);

}  // namespace potluck::coordinator
