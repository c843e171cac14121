// Any bytes as what a client of the gRPC API sends: what protobuf takes for a request becomes a
// body of the HTTP API, which is JSON whatever its texts are, and is read as that or refused.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "coordinator/api/grpc/answer_body.h"
#include "coordinator/api/http/completion_request.h"

namespace potluck::coordinator {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

template <class Request>
void CheckRequest(const uint8_t* data, size_t size, CompletionKind kind) {
  Request request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return;
  const auto body = CompletionBody(request);
  if (!body.ok()) return;
  Check(nlohmann::json::accept(*body));
  const auto asked = ParseCompletionRequest(*body, kind);
  if (!asked.ok()) return;
  Check(asked->stream && asked->answer.model == request.model());
  Check(asked->answer.prompts.size() == 1 && asked->answer.tools.tools.size() <= 128);
}

}  // namespace
}  // namespace potluck::coordinator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace potluck::coordinator;  // NOLINT(google-build-using-namespace): one function
  CheckRequest<potluck::v1::GenerateRequest>(data, size, CompletionKind::kText);
  CheckRequest<potluck::v1::ChatRequest>(data, size, CompletionKind::kChat);
  potluck::v1::Prompt prompt;
  if (prompt.ParseFromArray(data, static_cast<int>(size))) PromptOf(prompt).IgnoreError();
  return 0;
}
