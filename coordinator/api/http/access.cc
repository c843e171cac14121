#include "coordinator/api/http/access.h"

#include <arpa/inet.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace potluck::coordinator {
namespace {

// In the same time for any two texts of one length.
bool SameSecret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference |=
        static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
  return difference == 0;
}

std::string_view KeyOf(const HttpRequest& request) {
  constexpr std::string_view kBearer = "Bearer ";
  const std::string_view authorization = request.Header("Authorization");
  if (absl::StartsWithIgnoreCase(ToAbsl(authorization), ToAbsl(kBearer)))
    return authorization.substr(kBearer.size());
  return request.Header("api-key");
}

// Planning for any file says what files there are; a join code lets machines in.
bool IsCommand(const HttpRequest& request) {
  return request.path == "/cluster/join-code" ||
         (request.method != "GET" && request.path.starts_with("/cluster/"));
}

// "localhost" or a literal address of loopback, with or without a port. A name that only begins so
// ("127.0.0.1.example") may belong to anybody.
bool MeansThisMachine(std::string_view authority) {
  std::string_view host = authority, port = ":0";
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == authority.npos ? 0 : bracket);
  if (colon != authority.npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon);
  }
  uint32_t number = 0;
  if (!absl::SimpleAtoi(ToAbsl(port.substr(1)), &number)) return false;
  in_addr v4{};
  return absl::EqualsIgnoreCase(ToAbsl(host), "localhost") || host == "[::1]" ||
         (inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

// Why a request from this machine needs a key all the same; empty where it needs none.
std::string WhyForeign(const HttpRequest& request) {
  const std::string_view host = request.Header("Host"), origin = request.Header("Origin");
  if (!MeansThisMachine(host)) {
    return absl::StrCat(
        "without a key this machine is answered at http://localhost or "
        "http://127.0.0.1 only, not as \"",
        Printable(host), "\": ");
  }
  const size_t scheme = origin.find("://");
  if (origin.empty() || (scheme != origin.npos && MeansThisMachine(origin.substr(scheme + 3))))
    return "";
  return absl::StrCat("this comes from a web page of ", Printable(origin), ": ");
}

}  // namespace

absl::Status CheckAccess(const AccessRules& rules, const HttpRequest& request) {
  if (rules.open || request.path == "/health") return absl::OkStatus();
  const std::string why = request.loopback ? WhyForeign(request) : "";
  if (request.loopback && why.empty()) return absl::OkStatus();
  const std::string_view key = KeyOf(request);
  if (!rules.admin_key.empty() && SameSecret(key, rules.admin_key)) return absl::OkStatus();
  if (rules.api_key.empty()) {
    return absl::PermissionDeniedError(absl::StrCat(
        why, "this coordinator has no keys; potluck up --lan makes them, --no-auth asks for none"));
  }
  if (IsCommand(request)) {
    return absl::PermissionDeniedError(absl::StrCat(
        why,
        "this needs the admin key (Authorization: Bearer ADMIN_KEY), or the coordinator's own "
        "machine"));
  }
  if (SameSecret(key, rules.api_key)) return absl::OkStatus();
  return absl::UnauthenticatedError(
      absl::StrCat(why, key.empty() ? "an API key is needed (Authorization: Bearer KEY)"
                                    : "this API key is unknown"));
}

}  // namespace potluck::coordinator
