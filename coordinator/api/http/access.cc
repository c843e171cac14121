#include "coordinator/api/http/access.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/text.h"

namespace potluck::coordinator {
namespace {

constexpr size_t kMostNameBytes = 64, kLeastKeyBytes = 8, kMostKeyBytes = 256;

// In the same time for any two texts of one length.
bool SameSecret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference |=
        static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
  return difference == 0;
}

bool Reads(const HttpRequest& request) {
  return request.method == "GET" || request.method == "HEAD";
}

// Planning for any file says what files there are; a join code lets machines in.
bool IsCommand(const HttpRequest& request) {
  return request.path == "/cluster/join-code" ||
         (!Reads(request) && request.path.starts_with("/cluster/"));
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

bool IsAllowedOrigin(const AccessRules& rules, std::string_view origin) {
  return std::ranges::any_of(rules.cors_origins, [&](const std::string& allowed) {
    return allowed == "*" || absl::EqualsIgnoreCase(allowed, ToAbsl(origin));
  });
}

// Behind "http://"; empty where there is none.
std::string_view AuthorityOf(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == origin.npos ? "" : origin.substr(scheme + 3);
}

// Why a request from this machine needs a key all the same; empty where it needs none.
std::string WhyForeign(const AccessRules& rules, const HttpRequest& request) {
  const std::string_view host = request.Header("Host"), origin = request.Header("Origin");
  if (!MeansThisMachine(host)) {
    return absl::StrCat(
        "without a key this machine is answered at http://localhost or "
        "http://127.0.0.1 only, not as \"",
        Printable(host), "\": ");
  }
  if (origin.empty() || MeansThisMachine(AuthorityOf(origin))) return "";
  // Its owner trusts that page with questions, not with the cluster.
  if (!IsCommand(request) && IsAllowedOrigin(rules, origin)) return "";
  return absl::StrCat("this comes from a web page of ", Printable(origin), ": ");
}

// OK, PermissionDenied where there are no keys, or Unauthenticated, beginning with `why`.
absl::Status CheckPersonsKey(const AccessRules& rules, std::string_view key,
                             const std::string& why) {
  if (!rules.admin_key.empty() && SameSecret(key, rules.admin_key)) return absl::OkStatus();
  if (rules.api_keys.empty()) {
    return absl::PermissionDeniedError(absl::StrCat(
        why, "this coordinator has no keys; potluck up --lan makes them, --no-auth asks for none"));
  }
  // All are looked at, so that the time tells nothing of their order.
  bool known = false;
  for (const ApiKey& one : rules.api_keys) known |= SameSecret(key, one.key);
  if (known) return absl::OkStatus();
  return absl::UnauthenticatedError(
      absl::StrCat(why, key.empty() ? "an API key is needed (Authorization: Bearer KEY)"
                                    : "this API key is unknown"));
}

bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; }

}  // namespace

absl::StatusOr<std::vector<ApiKey>> ParseApiKeys(std::string_view text) {
  std::vector<ApiKey> keys;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    const auto bad = [&](std::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", ToAbsl(what)));
    };
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() != 2) return bad("must be NAME KEY");
    if (words[0].size() > kMostNameBytes || !std::ranges::all_of(words[0], IsNameCharacter))
      return bad("a name has at most 64 letters, digits, '.', '_' and '-'");
    if (words[1].size() < kLeastKeyBytes || words[1].size() > kMostKeyBytes)
      return bad("a key has 8 to 256 characters");
    for (const ApiKey& key : keys) {
      if (key.key == words[1]) return bad("this key is there already");
      if (key.name == words[0]) return bad("this name is there already");
    }
    keys.push_back({words[0], words[1]});
  }
  return keys;
}

HttpHeaders CorsHeaders(const AccessRules& rules, const HttpRequest& request) {
  const std::string_view origin = request.Header("Origin");
  if (origin.empty()) return {};
  const std::string_view authority = AuthorityOf(origin);
  const bool own = !authority.empty() && authority == request.Header("Host");
  if (!own && !MeansThisMachine(authority) && !IsAllowedOrigin(rules, origin))
    return {{"Vary", "Origin"}};
  return {{"Access-Control-Allow-Origin", std::string(origin)}, {"Vary", "Origin"}};
}

HttpReply PreflightReply(const HttpRequest& request) {
  HttpReply reply{.status = 200, .content_type = "text/plain"};
  reply.headers = {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                   {"Access-Control-Max-Age", "600"}};
  const std::string_view wanted = request.Header("Access-Control-Request-Headers");
  if (!wanted.empty())
    reply.headers.emplace_back("Access-Control-Allow-Headers", std::string(wanted));
  return reply;
}

std::string_view KeyIn(std::string_view authorization, std::string_view api_key) {
  constexpr std::string_view kBearer = "Bearer ";
  if (absl::StartsWithIgnoreCase(ToAbsl(authorization), ToAbsl(kBearer)))
    return authorization.substr(kBearer.size());
  return api_key;
}

std::string_view KeyOf(const HttpRequest& request) {
  return KeyIn(request.Header("Authorization"), request.Header("api-key"));
}

std::string CallerWith(const AccessRules& rules, std::string_view key) {
  if (!rules.admin_key.empty() && SameSecret(key, rules.admin_key)) return "admin";
  for (const ApiKey& one : rules.api_keys) {
    if (SameSecret(key, one.key)) return one.name;
  }
  return "none";
}

absl::Status CheckAccess(const AccessRules& rules, const HttpRequest& request) {
  // The page has a place for the key.
  const bool is_page = request.path == "/" || request.path.starts_with("/web/");
  const bool is_health = request.path == "/health" || request.path == "/v1/health";
  if (rules.open || request.method == "OPTIONS" || ((is_health || is_page) && Reads(request)))
    return absl::OkStatus();
  const std::string why = request.loopback ? WhyForeign(rules, request) : "";
  if (request.loopback && why.empty()) return absl::OkStatus();
  const std::string_view key = KeyOf(request);
  const bool is_admin = !rules.admin_key.empty() && SameSecret(key, rules.admin_key);
  if (IsCommand(request) && !rules.api_keys.empty() && !is_admin) {
    return absl::PermissionDeniedError(absl::StrCat(
        why,
        "this needs the admin key (Authorization: Bearer ADMIN_KEY), or the coordinator's own "
        "machine"));
  }
  return CheckPersonsKey(rules, key, why);
}

absl::Status CheckKey(const AccessRules& rules, std::string_view key, bool loopback) {
  return rules.open || loopback ? absl::OkStatus() : CheckPersonsKey(rules, key, "");
}

}  // namespace potluck::coordinator
