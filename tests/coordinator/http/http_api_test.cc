// The endpoints, without sockets: who may ask for what, a coordinator that is being stopped, plans
// that nobody has thought about yet, requests that nobody has read yet.
#include "coordinator/api/http/http_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/testing/simulated_executor.h"

namespace potluck::coordinator {
namespace {

using testing::HasSubstr;

struct Reply {
  int status = 0;  // 0: none yet
  std::string body;
  HttpHeaders headers;
  bool gone = false;  // the client
};

// Keeps the whole answer; nothing here streams.
class KeptExchange final : public HttpExchange {
 public:
  KeptExchange(HttpRequest request, std::shared_ptr<Reply> reply)
      : request_(std::move(request)), reply_(std::move(reply)) {}
  const HttpRequest& request() const override { return request_; }
  void Respond(int status, std::string_view, std::string body, HttpHeaders headers) override {
    *reply_ = {status, std::move(body), std::move(headers), reply_->gone};
  }
  void BeginStream(int status, std::string_view, HttpHeaders) override { reply_->status = status; }
  void Write(std::string bytes) override { reply_->body += bytes; }
  void End() override {}
  size_t queued_bytes() const override { return 0; }
  bool gone() const override { return reply_->gone; }
  void OnDrained(absl::AnyInvocable<void()>) override {}
  void OnGone(absl::AnyInvocable<void()>) override {}

 private:
  const HttpRequest request_;
  const std::shared_ptr<Reply> reply_;
};

class NoWeights final : public wire::LinkAcceptor, public wire::LinkHandler {
 public:
  wire::LinkHandler& OnLink(wire::LinkKind, std::unique_ptr<wire::Link>) override { return *this; }
  void OnMessage(wire::Message) override {}
  void OnClosed(absl::Status) override {}
};

AccessRules RulesOf(const std::string& api_key, const std::string& admin_key) {
  AccessRules rules{.admin_key = admin_key};
  if (!api_key.empty()) rules.api_keys = {{.name = "people", .key = api_key}};
  return rules;
}

class HttpApiTest : public testing::Test {
 protected:
  void Start(const std::string& api_key, const std::string& admin_key) {
    api_ = std::make_unique<HttpApi>(
        HttpApiOptions{
            .access = RulesOf(api_key, admin_key),
            .join_line = [](bool replace) { return replace ? "nas:7071/new" : "nas:7071/old"; }},
        HttpApi::Around{coordinator_, models_, inference_, watch_, metrics_, *logic_, *thinking_});
  }
  std::shared_ptr<Reply> Ask(const std::string& method, const std::string& path,
                             const std::string& body = "", const std::string& key = "",
                             bool loopback = true) {
    HttpRequest request{.method = method,
                        .path = path.substr(0, path.find('?')),
                        .headers = {{"Host", "localhost:7070"}},
                        .body = body,
                        .loopback = loopback};
    if (path.find('?') != path.npos) request.query = path.substr(path.find('?') + 1);
    if (!key.empty()) request.headers.emplace_back("Authorization", "Bearer " + key);
    auto reply = std::make_shared<Reply>();
    if (const auto refusal = api_->Refusal(request)) {
      *reply = {refusal->status, refusal->body, refusal->headers, false};
      return reply;
    }
    api_->Handle(std::make_shared<KeptExchange>(std::move(request), reply));
    return reply;
  }
  int StatusFar(const std::string& method, const std::string& path, const std::string& key) {
    const auto reply = Ask(method, path, R"({"model": "/no/such/model.gguf"})", key, false);
    time_.RunFor(absl::Seconds(1));
    return reply->status;
  }
  void LoadDemo(std::vector<std::string> aliases = {}) {
    std::optional<absl::Status> loaded;
    models_.Load(
        {.model = std::string(POTLUCK_SOURCE_DIR) + "/deploy/demo/potluck-demo-1m-q8_0.gguf",
         .aliases = std::move(aliases)},
        {}, [&](const absl::Status& status) { loaded = status; });
    ASSERT_TRUE(time_.RunUntil([&] { return loaded.has_value(); }, absl::Seconds(1)));
    ASSERT_TRUE(loaded->ok()) << *loaded;
  }

  SimulatedTime time_;
  std::unique_ptr<SimulatedExecutor> logic_ = time_.MakeExecutor(), files_ = time_.MakeExecutor(),
                                     thinking_ = time_.MakeExecutor(),
                                     reading_ = time_.MakeExecutor();
  NoWeights weights_;
  Coordinator coordinator_{{}, *logic_, *thinking_, weights_};
  const model::ManifestCache manifests_{testing::TempDir() + "/http_api_test_manifests"};
  model::LocalFiles local_;
  ModelLibrary library_{manifests_, local_, *files_, *logic_};
  int64_t unix_time_ = 1000;
  MetricRegistry metrics_;
  ServedModels models_{{.unix_time = [this] { return unix_time_; },
                        .find_model = [](const std::string& name) { return name; },
                        .opened = {}},
                       coordinator_,
                       library_};
  Inference inference_{{.unix_time = [this] { return unix_time_; },
                        .local_time = [] { return absl::CivilSecond(2025, 1, 1); },
                        .random = [] { return uint64_t{4}; }},
                       Inference::Around{coordinator_, models_, *logic_, *reading_, metrics_}};
  ClusterWatch watch_{coordinator_, *logic_};
  std::unique_ptr<HttpApi> api_;
};

TEST_F(HttpApiTest, KeysOpenWhatTheyAreFor) {
  Start("people", "admin");
  EXPECT_EQ(Ask("GET", "/cluster")->status, 200);  // from this machine
  EXPECT_EQ(StatusFar("GET", "/health", ""), 503);
  EXPECT_EQ(StatusFar("GET", "/cluster", ""), 401);
  EXPECT_EQ(StatusFar("GET", "/cluster", "peoplf"), 401);
  for (const std::string key : {"people", "admin"}) {
    EXPECT_EQ(StatusFar("GET", "/cluster", key), 200);
    EXPECT_EQ(StatusFar("GET", "/cluster/plan", key), 200);
    EXPECT_EQ(StatusFar("GET", "/v1/models", key), 200);
  }
  for (const char* path : {"/cluster/plan", "/cluster/load", "/cluster/unload", "/cluster/drain",
                           "/cluster/pause", "/cluster/resume"}) {
    EXPECT_EQ(StatusFar("POST", path, "people"), 403) << path;
    const int status = StatusFar("POST", path, "admin");
    EXPECT_TRUE(status == 400 || status == 404) << path << ": " << status;
  }
}

TEST_F(HttpApiTest, AModelWasCreatedWhenItWasLoaded) {
  Start("", "");
  LoadDemo();
  unix_time_ = 2000;
  const auto models = nlohmann::json::parse(Ask("GET", "/v1/models")->body);
  EXPECT_EQ(models["data"][0]["created"], 1000);
}

TEST_F(HttpApiTest, AModelIsUnloadedByNamePathOrId) {
  Start("", "");
  for (int i = 0; i < 3; ++i) LoadDemo();
  ASSERT_EQ(models_.loaded().size(), 3u);
  const auto ids = [&] {
    std::vector<int> left;
    for (const Instance* instance : coordinator_.instances())
      left.push_back(static_cast<int>(instance->model().id));
    return left;
  };
  ASSERT_THAT(ids(), testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(Ask("POST", "/cluster/unload", R"({"model": "2"})")->status, 200);
  EXPECT_THAT(ids(), testing::ElementsAre(1, 3));
  EXPECT_EQ(Ask("POST", "/cluster/unload", R"({"model": "2"})")->status, 404);
  const std::string path = models_.loaded().front().request.model;
  const auto unload = [&](const std::string& name) {
    return Ask("POST", "/cluster/unload", R"({"model": ")" + name + "\"}");
  };
  // Which of the two is not said.
  EXPECT_EQ(unload(path)->status, 400);
  EXPECT_THAT(unload("potluck-demo-1m-q8_0")->body, HasSubstr("instances 1, 3"));
  EXPECT_EQ(unload("1")->status, 200);
  EXPECT_EQ(unload(path)->status, 200);
  EXPECT_THAT(ids(), testing::IsEmpty());
  LoadDemo();
  EXPECT_EQ(unload("potluck-demo-1m-q8_0")->status, 200);
  EXPECT_TRUE(models_.loaded().empty());
}

TEST_F(HttpApiTest, TheJoinCodeIsToldAndReplaced) {
  Start("", "");
  EXPECT_EQ(nlohmann::json::parse(Ask("GET", "/cluster/join-code")->body)["join_line"],
            "nas:7071/old");
  EXPECT_EQ(nlohmann::json::parse(Ask("POST", "/cluster/join-code")->body)["join_line"],
            "nas:7071/new");
}

TEST_F(HttpApiTest, OneThatIsBeingStoppedTakesNothingNew) {
  Start("", "");
  LoadDemo();
  int ended = 0;
  EXPECT_EQ(inference_.StopTaking([&] { ++ended; }), 0u);
  EXPECT_EQ(ended, 1);
  for (const auto& [method, path] : std::vector<std::pair<std::string, std::string>>{
           {"POST", "/v1/completions"}, {"POST", "/v1/chat/completions"}, {"GET", "/health"}}) {
    const auto reply = Ask(method, path, R"({"prompt": "hi"})");
    EXPECT_EQ(reply->status, 503);
    EXPECT_THAT(reply->body, HasSubstr("being stopped"));
    EXPECT_THAT(reply->headers, testing::Contains(testing::Pair("Retry-After", testing::_)));
  }
  EXPECT_EQ(Ask("GET", "/cluster")->status, 200);
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(ended, 1);
}

TEST_F(HttpApiTest, PlansAreThoughtOfElsewhereAndOnlySoManyAtATime) {
  Start("", "");
  LoadDemo();
  std::vector<std::shared_ptr<Reply>> plans;
  while (plans.empty() || plans.back()->status == 0) {
    plans.push_back(Ask("GET", "/cluster/plan?model=potluck-demo-1m-q8%5F0"));
    ASSERT_LT(plans.size(), 100u) << "they wait without a bound";
  }
  EXPECT_EQ(plans.back()->status, 429);
  plans.pop_back();
  EXPECT_FALSE(plans.empty());
  time_.RunFor(absl::Seconds(1));
  for (const auto& plan : plans) {
    ASSERT_EQ(plan->status, 200) << plan->body;
    const auto instance = nlohmann::json::parse(plan->body)["instances"][0];
    EXPECT_EQ(instance["model"], "potluck-demo-1m-q8_0");
    EXPECT_TRUE(instance["now"].is_null());
    EXPECT_THAT(instance["why_not"].get<std::string>(), HasSubstr("no worker"));
  }
  const auto again = Ask("GET", "/cluster/plan");
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(again->status, 200);
}

TEST_F(HttpApiTest, RequestsAreReadAndEncodedElsewhere) {
  Start("", "");
  LoadDemo();
  reading_->Pause();
  const auto reply = Ask("POST", "/v1/completions", R"({"prompt": "hi"})");
  const auto broken = Ask("POST", "/v1/completions", "{");
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(reply->status, 0);
  EXPECT_EQ(broken->status, 0);
  EXPECT_EQ(Ask("GET", "/cluster")->status, 200);
  reading_->Resume();
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(reply->status, 503) << reply->body;  // there is no worker
  EXPECT_EQ(broken->status, 400) << broken->body;
}

TEST_F(HttpApiTest, WhatIsWrongIsToldInItsOrder) {
  Start("", "");
  LoadDemo();
  const std::string endless(size_t{1} << 20, 'a');
  for (const auto& [fields, status, says] : std::vector<std::tuple<std::string, int, std::string>>{
           {R"("model": "other", "temperature": "hot", "prompt": ")" + endless, 400, "temperature"},
           {R"("model": "other", "prompt": ")" + endless, 404, "no model"},
           {R"("prompt": ")" + endless, 400, R"("type":"exceed_context_size_error")"},
           {R"("prompt": "hi)", 503, ""}}) {
    const auto reply = Ask("POST", "/v1/completions", "{" + fields + "\"}");
    time_.RunFor(absl::Seconds(1));
    EXPECT_EQ(reply->status, status) << reply->body;
    EXPECT_THAT(reply->body, HasSubstr(says));
  }
  const auto chat = Ask("POST", "/v1/chat/completions",
                        R"({"messages": [{"role": "user", "content": ")" + endless + R"("}]})");
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(chat->status, 400);
  EXPECT_THAT(chat->body, HasSubstr("exceeds the available context size (1024 tokens)"));
}

TEST_F(HttpApiTest, WhatIsStillBeingReadIsRefusedByOneThatIsBeingStopped) {
  Start("", "");
  LoadDemo();
  const auto reply = Ask("POST", "/v1/completions", R"({"prompt": "hi"})");
  EXPECT_EQ(inference_.StopTaking([] {}), 0u);
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(reply->status, 503);
  EXPECT_THAT(reply->body, HasSubstr("being stopped"));
}

TEST_F(HttpApiTest, TextsAreTurnedIntoTokensAndBack) {
  Start("", "");
  LoadDemo();
  const auto ask = [&](const char* path, const std::string& body) {
    const auto reply = Ask("POST", path, body);
    time_.RunFor(absl::Seconds(1));
    EXPECT_EQ(reply->status, 200) << reply->body;
    return nlohmann::json::parse(reply->body);
  };
  const auto tokens = ask("/tokenize", R"({"content": "Bring \u00e4 soup"})")["tokens"];
  ASSERT_GT(tokens.size(), 1u);
  EXPECT_EQ(ask("/detokenize", nlohmann::json{{"tokens", tokens}}.dump())["content"],
            "Bring \u00e4 soup");
  const auto pieces =
      ask("/tokenize", R"({"content": "Bring \u00e4 soup", "with_pieces": true})")["tokens"];
  ASSERT_EQ(pieces.size(), tokens.size());
  EXPECT_EQ(pieces[0]["id"], tokens[0]);
  const std::string prompt =
      ask("/apply-template", R"({"messages": [{"role": "user", "content": "hi"}]})")["prompt"];
  EXPECT_THAT(prompt, HasSubstr("hi"));
  EXPECT_GT(prompt.size(), 2u);
  for (const auto& [path, body] :
       std::vector<std::pair<std::string, std::string>>{{"/tokenize", "{}"},
                                                        {"/detokenize", R"({"tokens": [-1]})"},
                                                        {"/apply-template", "{}"}}) {
    const auto reply = Ask("POST", path, body);
    time_.RunFor(absl::Seconds(1));
    EXPECT_EQ(reply->status, 400) << path;
  }
  const auto other = Ask("POST", "/tokenize", R"({"content": "a", "model": "other"})");
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(other->status, 404);
}

TEST_F(HttpApiTest, AModelIsKnownByItsAliasesToo) {
  Start("", "");
  LoadDemo({"soup", "gpt-4o"});
  const auto models = nlohmann::json::parse(Ask("GET", "/v1/models")->body);
  ASSERT_EQ(models["data"].size(), 1u);
  EXPECT_EQ(models["data"][0]["id"], "soup");
  for (const char* name : {"soup", "gpt-4o", "potluck-demo-1m-q8_0"})
    EXPECT_TRUE(models_.Named(name).ok()) << name;
  EXPECT_EQ(models_.Named("gpt-4").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Ask("POST", "/cluster/unload", R"({"model": "gpt-4o"})")->status, 200);
}

TEST_F(HttpApiTest, BrowsersMayAskWhatTheyMayAsk) {
  Start("people", "admin");
  const auto reply = Ask("OPTIONS", "/v1/chat/completions", "", "", /*loopback=*/false);
  EXPECT_EQ(reply->status, 200);
  EXPECT_THAT(reply->headers, testing::Contains(testing::Key("Access-Control-Allow-Methods")));
}

TEST_F(HttpApiTest, WhatNobodyWaitsForIsNotRead) {
  Start("", "");
  LoadDemo();
  const auto reply = Ask("POST", "/v1/completions", "{");
  reply->gone = true;
  time_.RunFor(absl::Seconds(1));
  EXPECT_EQ(reply->status, 0);
}

}  // namespace
}  // namespace potluck::coordinator
