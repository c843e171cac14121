// What every endpoint answers alike: JSON, and errors in OpenAI's form.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "coordinator/api/http/http_server.h"
#include "coordinator/api/json_text.h"

namespace potluck::coordinator {

inline constexpr char kJsonType[] = "application/json";
inline constexpr char kEventStream[] = "text/event-stream";

void RespondJson(HttpExchange& exchange, const nlohmann::ordered_json& json, int status = 200);

// The HTTP status that stands for an error: 400 for what the client can mend, 404, 429, 503, 500.
int HttpStatusOf(const absl::Status& status);
// {"error": {"message", "type", "code"}}, and the numbers of a prompt that is too long
nlohmann::ordered_json ErrorJson(const absl::Status& status);
// With Retry-After where trying again may help.
HttpReply ErrorReply(const absl::Status& status);
void RespondError(HttpExchange& exchange, const absl::Status& status);

}  // namespace potluck::coordinator
