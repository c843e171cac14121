// Who needs which key: by where a request comes from, and by what a browser says of it.
#include "coordinator/api/http/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace potluck::coordinator {
namespace {

using testing::HasSubstr;

constexpr absl::StatusCode kOk = absl::StatusCode::kOk;
constexpr absl::StatusCode kNoKey = absl::StatusCode::kUnauthenticated;
constexpr absl::StatusCode kForbidden = absl::StatusCode::kPermissionDenied;

const AccessRules kKeys{.api_keys = {{"guest", "other"}, {"desk", "people"}}, .admin_key = "admin"};

HttpRequest Request(std::string method, std::string path, HttpHeaders headers,
                    bool loopback = true) {
  return {.method = std::move(method),
          .path = std::move(path),
          .headers = std::move(headers),
          .loopback = loopback};
}

absl::StatusCode Asking(const AccessRules& rules, const HttpRequest& request) {
  return CheckAccess(rules, request).code();
}

TEST(AccessTest, FromAfarAKeyIsNeeded) {
  const auto ask = [](const char* method, const char* path, const std::string& key) {
    return Asking(kKeys,
                  Request(method, path, {{"Host", "localhost"}, {"Authorization", "Bearer " + key}},
                          /*loopback=*/false));
  };
  EXPECT_EQ(ask("GET", "/health", ""), kOk);
  EXPECT_EQ(ask("GET", "/cluster", ""), kNoKey);
  EXPECT_EQ(ask("GET", "/cluster", "peoplf"), kNoKey);
  EXPECT_EQ(ask("POST", "/cluster/load", ""), kForbidden);
  EXPECT_EQ(ask("POST", "/cluster/load", "people"), kForbidden);
  for (const char* key : {"people", "admin"}) {
    EXPECT_EQ(ask("GET", "/cluster", key), kOk);
    EXPECT_EQ(ask("POST", "/v1/completions", key), kOk);
  }
  EXPECT_EQ(ask("POST", "/cluster/load", "admin"), kOk);
  for (const char* method : {"GET", "POST"}) {
    EXPECT_EQ(ask(method, "/cluster/join-code", "people"), kForbidden);
    EXPECT_EQ(ask(method, "/cluster/join-code", "admin"), kOk);
  }
}

TEST(AccessTest, ThisMachineNeedsNoneWhereItIsAskedForAsItself) {
  for (const char* host : {"localhost", "LocalHost:7070", "127.0.0.1", "127.0.0.1:7070",
                           "127.1.2.3:80", "[::1]", "[::1]:7070"}) {
    for (const AccessRules& rules : {AccessRules{}, kKeys}) {
      EXPECT_EQ(Asking(rules, Request("GET", "/cluster", {{"Host", host}})), kOk) << host;
      EXPECT_EQ(Asking(rules, Request("POST", "/cluster/unload", {{"host", host}})), kOk) << host;
    }
  }
}

TEST(AccessTest, ANameThatWasMadeToMeanThisMachineNeedsAKey) {
  for (const char* host :
       {"", "evil.example", "evil.example:7070", "127.0.0.1.evil.example", "localhost.evil.example",
        "127.0.0.1:7070.evil.example", "127.0.0.1:", "128.0.0.1", "::1", "[::2]", "[::1].evil:80",
        "[::1", "localhost:7070:7070", "user@localhost"}) {
    HttpRequest request = Request("GET", "/cluster", {{"Host", host}});
    EXPECT_EQ(Asking(kKeys, request), kNoKey) << host;
    EXPECT_EQ(Asking({}, request), kForbidden) << host;
    EXPECT_EQ(Asking({.open = true}, request), kOk);
    EXPECT_THAT(std::string(CheckAccess(kKeys, request).message()),
                testing::AllOf(HasSubstr("http://localhost"), HasSubstr("API key")));
    request.headers.emplace_back("Authorization", "Bearer people");
    EXPECT_EQ(Asking(kKeys, request), kOk) << host;
    request.method = "POST";
    request.path = "/cluster/unload";
    EXPECT_EQ(Asking(kKeys, request), kForbidden) << host;
  }
  EXPECT_EQ(Asking(kKeys, Request("GET", "/cluster", {})), kNoKey);
}

TEST(AccessTest, APageOfAnotherAddressNeedsAKey) {
  for (const char* origin : {"http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"}) {
    EXPECT_EQ(Asking(kKeys, Request("POST", "/cluster/unload",
                                    {{"Host", "127.0.0.1:7070"}, {"Origin", origin}})),
              kOk)
        << origin;
  }
  for (const char* origin :
       {"null", "https://evil.example", "http://localhost.evil.example", "file://", "localhost"}) {
    HttpRequest request =
        Request("POST", "/cluster/unload", {{"Host", "127.0.0.1:7070"}, {"Origin", origin}});
    EXPECT_EQ(Asking(kKeys, request), kForbidden) << origin;
    EXPECT_EQ(Asking({}, request), kForbidden) << origin;
    EXPECT_EQ(Asking({.open = true}, request), kOk);
    EXPECT_THAT(std::string(CheckAccess({}, request).message()), HasSubstr(origin));
    request.headers.emplace_back("Authorization", "Bearer admin");
    EXPECT_EQ(Asking(kKeys, request), kOk) << origin;
  }
}

TEST(AccessTest, APageThatTheOwnerTrustsMayAskButNotCommand) {
  const AccessRules trusting{.cors_origins = {"https://chat.example"}};
  const auto ask = [&](const char* method, const char* path, const char* origin) {
    return Asking(trusting, Request(method, path, {{"Host", "localhost"}, {"Origin", origin}}));
  };
  EXPECT_EQ(ask("POST", "/v1/completions", "https://chat.example"), kOk);
  EXPECT_EQ(ask("POST", "/v1/completions", "http://chat.example"), kForbidden);
  EXPECT_EQ(ask("POST", "/cluster/unload", "https://chat.example"), kForbidden);
  EXPECT_EQ(ask("OPTIONS", "/v1/completions", "https://evil.example"), kOk);
}

TEST(AccessTest, ABrowserIsToldWhichPagesMayRead) {
  const auto allowed = [](const AccessRules& rules, const char* origin) -> std::string {
    const HttpHeaders headers =
        CorsHeaders(rules, Request("GET", "/cluster", {{"Host", "nas:7070"}, {"Origin", origin}}));
    for (const auto& [name, value] : headers) {
      if (name == "Access-Control-Allow-Origin") return value;
    }
    return "";
  };
  for (const char* origin : {"http://nas:7070", "http://localhost:3000", "https://chat.example"})
    EXPECT_EQ(allowed({.cors_origins = {"https://chat.example"}}, origin), origin);
  for (const char* origin : {"http://nas:7071", "https://evil.example", "null"}) {
    EXPECT_EQ(allowed({.cors_origins = {"https://chat.example"}}, origin), "");
    EXPECT_EQ(allowed({.cors_origins = {"*"}}, origin), origin);
  }
  EXPECT_TRUE(CorsHeaders(kKeys, Request("GET", "/cluster", {{"Host", "nas"}})).empty());
  const HttpReply preflight = PreflightReply(
      Request("OPTIONS", "/v1/completions", {{"Access-Control-Request-Headers", "x-a, api-key"}}));
  EXPECT_THAT(preflight.headers,
              testing::Contains(testing::Pair("Access-Control-Allow-Headers", "x-a, api-key")));
}

TEST(AccessTest, TellsWhoseKeyItIs) {
  const auto caller = [](const std::string& key) {
    return CallerWith(kKeys,
                      KeyOf(Request("GET", "/cluster", {{"Authorization", "Bearer " + key}})));
  };
  EXPECT_EQ(caller("people"), "desk");
  EXPECT_EQ(caller("other"), "guest");
  EXPECT_EQ(caller("admin"), "admin");
  EXPECT_EQ(caller("peoplf"), "none");
  EXPECT_EQ(caller(""), "none");
}

TEST(ApiKeysTest, AreLinesOfANameAndAKey) {
  const auto keys = ParseApiKeys("# who has which\n\n desk  desk-key-1\r\nphone.2\tphone-key\n");
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_EQ(keys->size(), 2u);
  EXPECT_EQ((*keys)[0].name, "desk");
  EXPECT_EQ((*keys)[0].key, "desk-key-1");
  EXPECT_EQ((*keys)[1].name, "phone.2");
  EXPECT_TRUE(ParseApiKeys("")->empty());
}

TEST(ApiKeysTest, SayWhichLineIsWrong) {
  for (const char* line : {"desk", "desk key with spaces", "de\"sk desk-key-1", "desk short",
                           "first another-key", "other first-key-1"}) {
    const auto keys = ParseApiKeys(std::string("first first-key-1\n") + line + "\n");
    ASSERT_FALSE(keys.ok()) << line;
    EXPECT_THAT(std::string(keys.status().message()), HasSubstr("line 2")) << line;
  }
}

}  // namespace
}  // namespace potluck::coordinator
