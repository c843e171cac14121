// Who may ask a coordinator for what. A program on its own machine needs no key; but what comes
// from there may be a web page that the machine's user has open, and such a page must not command
// the cluster: its browser says which page it is (Origin), or, where a name of the page's own was
// made to mean this machine, which name it asked (Host).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "coordinator/api/http/http_server.h"

namespace potluck::coordinator {

struct AccessRules {
  std::string api_key, admin_key;  // empty: there is none
  bool open = false;               // nobody is asked for a key
};

// Unauthenticated or PermissionDenied, saying which key is needed and why.
absl::Status CheckAccess(const AccessRules& rules, const HttpRequest& request);

}  // namespace potluck::coordinator
