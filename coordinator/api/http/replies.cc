#include "coordinator/api/http/replies.h"

#include <utility>

#include "model/generation/context_overflow.h"

namespace potluck::coordinator {

using nlohmann::ordered_json;

void RespondJson(HttpExchange& exchange, const ordered_json& json, int status) {
  exchange.Respond(status, kJsonType, Dump(json) + "\n");
}

int HttpStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

ordered_json ErrorJson(const absl::Status& status) {
  const int code = HttpStatusOf(status);
  const char* type = "server_error";
  if (code == 401) type = "authentication_error";
  if (code == 403) type = "permission_error";
  if (code == 404) type = "not_found_error";
  if (code == 400 || code == 409) type = "invalid_request_error";
  if (code == 429) type = "rate_limit_error";
  if (code == 503) type = "unavailable_error";
  ordered_json error = {{"message", std::string(status.message())}, {"type", type}, {"code", code}};
  if (const auto overflow = model::ContextOverflowOf(status)) {
    error["type"] = "exceed_context_size_error";
    error["n_prompt_tokens"] = overflow->prompt_tokens;
    error["n_ctx"] = overflow->context_length;
  }
  return {{"error", std::move(error)}};
}

HttpReply ErrorReply(const absl::Status& status) {
  HttpReply reply{HttpStatusOf(status), kJsonType, Dump(ErrorJson(status)) + "\n", {}};
  if (reply.status == 429 || reply.status == 503) reply.headers.emplace_back("Retry-After", "5");
  if (reply.status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  return reply;
}

void RespondError(HttpExchange& exchange, const absl::Status& status) {
  HttpReply reply = ErrorReply(status);
  exchange.Respond(reply.status, reply.content_type, std::move(reply.body),
                   std::move(reply.headers));
}

}  // namespace potluck::coordinator
