// Who may ask a coordinator for what, over HTTP and over gRPC. A program on its own machine needs
// no key; but what comes from there may be a web page that the machine's user has open, and such a
// page must not command the cluster: its browser says which page it is (Origin), or, where a name
// of the page's own was made to mean this machine, which name it asked (Host).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/api/http/http_server.h"

namespace potluck::coordinator {

struct ApiKey {
  std::string name;  // of whom it was given to
  std::string key;
};

struct AccessRules {
  std::vector<ApiKey> api_keys;           // empty: there are none
  std::string admin_key;                  // empty: there is none
  bool open = false;                      // nobody is asked for a key
  std::vector<std::string> cors_origins;  // "https://chat.example"; "*": all
};

// Lines of "NAME KEY"; empty ones and those that begin with '#' are left out. InvalidArgument, with
// the line, for a name that is not of letters, digits, '.', '_' and '-', a key of less than 8
// characters, or one that comes twice.
absl::StatusOr<std::vector<ApiKey>> ParseApiKeys(std::string_view text);

// Unauthenticated or PermissionDenied, saying which key is needed and why. What a browser asks
// before it asks (OPTIONS) needs none.
absl::Status CheckAccess(const AccessRules& rules, const HttpRequest& request);

// Likewise of what is no command and cannot come from a web page.
absl::Status CheckKey(const AccessRules& rules, std::string_view key, bool loopback);

// The key in "Authorization: Bearer KEY", else in "api-key: KEY"; empty: there is none.
std::string_view KeyIn(std::string_view authorization, std::string_view api_key);
std::string_view KeyOf(const HttpRequest& request);
// Whose key it is, for the metrics: a name, "admin", or "none" where it is none that counts.
std::string CallerWith(const AccessRules& rules, std::string_view key);

// What tells a browser that the page it shows may read the answer: pages of this machine, of the
// address that was asked itself, and of the origins that the rules name. Source: the Fetch
// standard.
HttpHeaders CorsHeaders(const AccessRules& rules, const HttpRequest& request);
// And what such a page may ask: the answer to OPTIONS.
HttpReply PreflightReply(const HttpRequest& request);

}  // namespace potluck::coordinator
