#include "cli/cluster_client.h"

#include <fstream>

#include "absl/strings/str_cat.h"
#include "cli/environment.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::cli {
namespace {

using nlohmann::ordered_json;

constexpr char kDefaultUrl[] = "http://127.0.0.1:7070";

absl::StatusCode CodeOf(int http_status) {
  switch (http_status) {
    case 400:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 429:
      return absl::StatusCode::kResourceExhausted;
    case 503:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

void AddClusterOptions(CLI::App& command, ClusterOptions& options) {
  command
      .add_option("--url", options.url,
                  "Where the cluster answers (default: this user's coordinator, else "
                  "http://127.0.0.1:7070)")
      ->check([](const std::string& url) {
        return std::string(HttpClient::Create(url, "").status().message());
      });
  command.add_option("--api-key", options.api_key,
                     "For a cluster on another machine (default: $POTLUCK_API_KEY)");
}

absl::StatusOr<HttpClient> ConnectTo(const ClusterOptions& options) {
  std::string url = options.url;
  if (url.empty()) std::getline(std::ifstream(CoordinatorUrlFile()), url);
  if (url.empty()) url = kDefaultUrl;
  return HttpClient::Create(
      url, options.api_key.empty() ? EnvironmentOr("POTLUCK_API_KEY", "") : options.api_key);
}

absl::StatusOr<ordered_json> JsonOf(const HttpReply& reply) {
  ordered_json json = ordered_json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  if (reply.status == 200 && !json.is_discarded()) return json;
  const ordered_json* error = nullptr;
  if (json.is_object() && json.contains("error") && json["error"].is_object())
    error = &json["error"];
  if (error != nullptr && error->contains("message") && (*error)["message"].is_string()) {
    std::string message = (*error)["message"].get<std::string>();
    if (reply.status == 401) absl::StrAppend(&message, " (with --api-key or POTLUCK_API_KEY)");
    return absl::Status(CodeOf(reply.status), message);
  }
  return absl::UnavailableError(absl::StrCat("what answers there is no Potluck (HTTP ",
                                             reply.status, "); say with --url where one runs"));
}

}  // namespace potluck::cli
