#include "coordinator/api/http/http_api.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "coordinator/api/cluster_json.h"
#include "coordinator/api/cluster_metrics.h"
#include "coordinator/api/http/cluster_events.h"
#include "coordinator/api/http/completion_answer.h"
#include "coordinator/api/http/embedding_answer.h"
#include "coordinator/api/http/embedding_request.h"
#include "coordinator/api/http/plan_answers.h"
#include "coordinator/api/http/prometheus_targets.h"
#include "coordinator/api/http/replies.h"
#include "coordinator/web/web_files.h"
#include "model/bounded_json.h"

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

constexpr long kMostThoughts = 16;

void RespondFile(HttpExchange& exchange, const WebFile& file) {
  exchange.Respond(200, std::string(file.content_type), std::string(file.bytes),
                   {{"Cache-Control", "no-cache"},
                    {"Content-Security-Policy",
                     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                     "connect-src 'self'; base-uri 'none'; form-action 'none'; "
                     "frame-ancestors 'none'"},
                    {"X-Content-Type-Options", "nosniff"},
                    {"Referrer-Policy", "no-referrer"}});
}

}  // namespace

HttpApi::HttpApi(HttpApiOptions options, const Around& around)
    : options_(std::move(options)),
      coordinator_(around.coordinator),
      models_(around.models),
      inference_(around.inference),
      metrics_(around.metrics),
      executor_(around.executor),
      thinking_(around.thinking),
      watch_(around.watch) {}

const std::map<std::string, HttpApi::Route>& HttpApi::Routes() {
  static const std::map<std::string, Route> routes = {
      {"GET /health", &HttpApi::Health},
      {"GET /v1/health", &HttpApi::Health},
      {"GET /metrics", &HttpApi::Metrics},
      {"GET /cluster", &HttpApi::Cluster},
      {"GET /cluster/events", &HttpApi::Events},
      {"GET /cluster/prometheus/targets", &HttpApi::PrometheusTargets},
      {"GET /cluster/prometheus/worker", &HttpApi::WorkerMetrics},
      {"GET /cluster/plan", &HttpApi::Plans},
      {"POST /cluster/plan", &HttpApi::Foresee},
      {"GET /v1/models", &HttpApi::Models},
      {"POST /v1/completions", &HttpApi::TextCompletion},
      {"POST /v1/chat/completions", &HttpApi::ChatCompletion},
      {"POST /v1/embeddings", &HttpApi::Embed},
      {"POST /tokenize", &HttpApi::Tokenize},
      {"POST /detokenize", &HttpApi::Detokenize},
      {"POST /apply-template", &HttpApi::ApplyTemplate},
      {"POST /cluster/load", &HttpApi::LoadModel},
      {"POST /cluster/unload", &HttpApi::UnloadModel},
      {"POST /cluster/drain", &HttpApi::Drain},
      {"POST /cluster/pause", &HttpApi::Pause},
      {"POST /cluster/resume", &HttpApi::Resume},
      {"GET /cluster/join-code", &HttpApi::TellJoinLine},
      {"POST /cluster/join-code", &HttpApi::ReplaceJoinCode},
  };
  return routes;
}

std::optional<HttpReply> HttpApi::Refusal(const HttpRequest& request) const {
  const absl::Status access = CheckAccess(options_.access, request);
  if (access.ok()) return std::nullopt;
  return ErrorReply(access);
}

void HttpApi::Handle(Exchange exchange) {
  const HttpRequest& request = exchange->request();
  if (request.method == "OPTIONS") {
    HttpReply reply = PreflightReply(request);
    return exchange->Respond(reply.status, reply.content_type, "", std::move(reply.headers));
  }
  // What is only asked for its head is answered alike: the server leaves the body out.
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  if (const WebFile* file = FindWebFile(request.path); file != nullptr && method == "GET")
    return RespondFile(*exchange, *file);
  const auto route = Routes().find(absl::StrCat(method, " ", request.path));
  if (route != Routes().end()) {
    metrics_
        .AddCounter("potluck_http_requests_total",
                    "Requests over HTTP, by whose key they came with",
                    {{"path", request.path}, {"key", CallerWith(options_.access, KeyOf(request))}})
        .Add(1);
    (this->*route->second)(std::move(exchange));
    return;
  }
  const bool known = std::ranges::any_of(Routes(), [&](const auto& entry) {
    return absl::EndsWith(entry.first, absl::StrCat(" ", request.path));
  });
  if (known) {
    ordered_json error = ErrorJson(absl::InvalidArgumentError("another method is needed"));
    error["error"]["code"] = 405;
    exchange->Respond(405, kJsonType, Dump(error));
    return;
  }
  RespondError(*exchange,
               absl::NotFoundError(absl::StrCat(
                   "there is nothing at ", Printable(request.path),
                   "; what there is: /v1/completions, /v1/chat/completions, /v1/embeddings, "
                   "/v1/models, /tokenize, /detokenize, /apply-template, /health, /metrics, "
                   "/cluster and what is under it")));
}

void HttpApi::Health(Exchange exchange) {
  if (const absl::Status taking = inference_.CheckTaking(); !taking.ok())
    return RespondError(*exchange, taking);
  if (models_.ready()) return RespondJson(*exchange, {{"status", "ok"}});
  RespondError(*exchange, absl::UnavailableError(models_.WhatIsMissing()));
}

void HttpApi::Cluster(Exchange exchange) {
  RespondJson(*exchange, ClusterJson(coordinator_, executor_.clock().SinceStart()));
}

void HttpApi::Events(Exchange exchange) {
  if (exchange->request().method == "HEAD") return exchange->Respond(200, kEventStream, "");
  WatchCluster(watch_, std::move(exchange));
}

// The state is taken here, the text is made where no token waits for it.
void HttpApi::Metrics(Exchange exchange) {
  auto state = ClusterMetrics(coordinator_, executor_.clock().SinceStart());
  Read(
      exchange,
      [&metrics = metrics_, state = std::move(state),
       version = coordinator_.options().version.build]() mutable -> absl::StatusOr<std::string> {
        for (MetricFamily& family : ProcessMetrics(version)) state.push_back(std::move(family));
        return metrics.Text(state);
      },
      [exchange](std::string text) {
        exchange->Respond(200, MetricRegistry::kContentType, std::move(text));
      });
}

void HttpApi::PrometheusTargets(Exchange exchange) {
  const auto reach = ParseReach(exchange->request().query);
  if (!reach.ok()) return RespondError(*exchange, reach.status());
  RespondJson(*exchange, TargetsJson(coordinator_, *reach, exchange->request()));
}

void HttpApi::WorkerMetrics(Exchange exchange) {
  const std::string worker = WorkerIdIn(exchange->request().query);
  if (coordinator_.membership().Find(worker) == nullptr)
    return RespondError(*exchange, absl::NotFoundError(absl::StrCat(
                                       "there is no worker with the id ", Printable(worker),
                                       "; /cluster/prometheus/targets has those that there are")));
  coordinator_.AskMetrics(worker, [exchange](absl::StatusOr<std::string> text) {
    if (!text.ok()) return RespondError(*exchange, text.status());
    exchange->Respond(200, MetricRegistry::kContentType, *std::move(text));
  });
}

void HttpApi::Plans(Exchange exchange) {
  const auto asked = ParsePlansAsked(exchange->request().query);
  if (!asked.ok()) return RespondError(*exchange, asked.status());
  std::vector<model::InstanceId> instances;
  for (const auto& [id, served] : models_.all()) {
    if (asked->model.empty() || served.is_called(asked->model) ||
        served.request.model == asked->model)
      instances.push_back(id);
  }
  if (instances.empty() && !asked->model.empty())
    return RespondError(*exchange, models_.Named(asked->model).status());
  Think(*exchange, AnswerPlans(coordinator_, instances, *asked, exchange));
}

void HttpApi::Foresee(Exchange exchange) {
  const auto request = ParseLoadRequest(exchange->request().body);
  if (!request.ok()) return RespondError(*exchange, request.status());
  const auto path = models_.FindModel(request->model);
  if (!path.ok()) return RespondError(*exchange, path.status());
  auto wish = ServedModels::WishOf(*request);
  if (!wish.ok()) return RespondError(*exchange, wish.status());
  Think(*exchange, AnswerForesight(coordinator_, *std::move(wish), *path, exchange));
}

void HttpApi::Think(HttpExchange& exchange, Executor::Task task) {
  if (thoughts_.use_count() > kMostThoughts) {
    return RespondError(exchange, absl::ResourceExhaustedError(
                                      "too many plans are being made already: try again later"));
  }
  thinking_.Post([thought = thoughts_, run = std::move(task)]() mutable { run(); });
}

void HttpApi::Models(Exchange exchange) {
  ordered_json data = ordered_json::array();
  for (const auto& [id, served] : models_.all()) {
    const std::string& name = served.name();
    if (std::ranges::any_of(data, [&](const ordered_json& model) { return model["id"] == name; }))
      continue;
    const model::TextCodec& text = served.model->text;
    data.push_back({{"id", name},
                    {"object", "model"},
                    {"created", served.loaded_at},
                    {"owned_by", "potluck"},
                    {"aliases", served.request.aliases},
                    {"meta",
                     {{"name", served.model->name},
                      {"n_vocab", served.model->vocab_size},
                      {"n_ctx", models_.ContextLength(served)},
                      {"n_ctx_train", served.model->shape.context_length},
                      {"has_chat_template", text.has_chat_template()}}}});
  }
  RespondJson(*exchange, {{"object", "list"}, {"data", std::move(data)}});
}

// --- Answers -------------------------------------------------------------------------------------

void HttpApi::TextCompletion(Exchange exchange) {
  Complete(std::move(exchange), CompletionKind::kText);
}

void HttpApi::ChatCompletion(Exchange exchange) {
  Complete(std::move(exchange), CompletionKind::kChat);
}

template <typename Work, typename Then>
void HttpApi::Read(Exchange exchange, Work work, Then then) {
  inference_.Elsewhere([exchange] { return exchange->gone(); }, std::move(work),
                       [exchange, then = std::move(then)](auto result) mutable {
                         if (!result.ok()) return RespondError(*exchange, result.status());
                         then(*std::move(result));
                       });
}

void HttpApi::Complete(Exchange exchange, CompletionKind kind) {
  if (const absl::Status taking = inference_.CheckTaking(); !taking.ok())
    return RespondError(*exchange, taking);
  Read(
      exchange, [exchange, kind] { return ParseCompletionRequest(exchange->request().body, kind); },
      [this, exchange](CompletionRequest asked) {
        auto reader = std::make_shared<CompletionAnswer>(
            asked, coordinator_.options().version.build, exchange, executor_);
        inference_.Start(asked.kind == CompletionKind::kChat ? "chatcmpl-" : "cmpl-",
                         std::move(asked.answer), std::move(reader));
      });
}

void HttpApi::Embed(Exchange exchange) {
  Read(
      exchange, [exchange] { return ParseEmbeddingRequest(exchange->request().body); },
      [this, exchange](EmbeddingQuestion question) {
        const auto served = models_.Named(question.request.model);
        if (!served.ok()) return RespondError(*exchange, served.status());
        const int64_t numbers = served->model->shape.model_dim;
        if (question.dimensions.value_or(numbers) != numbers)
          return RespondError(*exchange, absl::InvalidArgumentError(absl::StrCat(
                                             "dimensions: this model's embeddings have ", numbers,
                                             " numbers, and cannot be cut")));
        const auto respond = [this, exchange, base64 = question.base64](
                                 Embeddings embeddings, std::shared_ptr<const void> told) {
          Read(
              exchange,
              [embeddings = std::move(embeddings), base64]() -> absl::StatusOr<std::string> {
                return EmbeddingsJson(embeddings, base64);
              },
              [exchange, told = std::move(told)](std::string json) {
                exchange->Respond(200, kJsonType, std::move(json));
              });
        };
        inference_.Embed(std::move(question.request),
                         std::make_shared<EmbeddingAnswer>(exchange, respond));
      });
}

void HttpApi::Tokenize(Exchange exchange) {
  AskText(std::move(exchange), TextQuestion::Kind::kTokenize);
}

void HttpApi::Detokenize(Exchange exchange) {
  AskText(std::move(exchange), TextQuestion::Kind::kDetokenize);
}

void HttpApi::ApplyTemplate(Exchange exchange) {
  AskText(std::move(exchange), TextQuestion::Kind::kApplyTemplate);
}

void HttpApi::AskText(Exchange exchange, TextQuestion::Kind kind) {
  Read(
      exchange, [exchange, kind] { return ParseTextQuestion(exchange->request().body, kind); },
      [this, exchange](TextQuestion question) {
        const auto served = models_.Named(question.model);
        if (!served.ok()) return RespondError(*exchange, served.status());
        Read(
            exchange,
            [to = served->model, question = std::move(question), now = inference_.Now().now] {
              return AnswerText(to->text, question, now);
            },
            [exchange](const ordered_json& answer) { RespondJson(*exchange, answer); });
      });
}

// --- Commands ------------------------------------------------------------------------------------

void HttpApi::AnswerDone(HttpExchange& exchange, const absl::Status& status) {
  if (status.ok()) {
    RespondJson(exchange, {{"status", "ok"}});
  } else {
    RespondError(exchange, status);
  }
}

void HttpApi::LoadModel(Exchange exchange) {
  auto request = ParseLoadRequest(exchange->request().body);
  if (!request.ok()) return RespondError(*exchange, request.status());
  models_.Load(*std::move(request), {},
               [this, exchange](const absl::Status& status) { AnswerDone(*exchange, status); });
}

void HttpApi::UnloadModel(Exchange exchange) {
  const auto request = ParseLoadRequest(exchange->request().body);
  if (!request.ok()) return RespondError(*exchange, request.status());
  AnswerDone(*exchange, models_.Unload(request->model));
}

absl::StatusOr<wire::WorkerId> HttpApi::WorkerNamed(const HttpRequest& request) const {
  POTLUCK_ASSIGN_OR_RETURN(const model::Json body, model::ParseBoundedJson(request.body));
  const model::Json* worker = model::FindKey(body, "worker");
  if (worker == nullptr || !worker->is_string())
    return absl::InvalidArgumentError("worker must be a worker's id or name");
  const auto wanted = worker->get<std::string>();
  std::vector<wire::WorkerId> here, gone;  // who is here is meant, rather than who has gone
  for (const auto& [id, member] : coordinator_.membership().members()) {
    if (id == wanted) return id;
    if (member.hello.name == wanted) (member.connected() ? here : gone).push_back(id);
  }
  const std::vector<wire::WorkerId>& found = here.empty() ? gone : here;
  if (found.size() == 1) return found.front();
  return found.empty() ? absl::NotFoundError(absl::StrCat("there is no worker ", Printable(wanted),
                                                          "; see `potluck status`"))
                       : absl::InvalidArgumentError(
                             absl::StrCat(found.size(), " workers are called ", Printable(wanted),
                                          ": give the id, as `potluck status --json` shows it"));
}

void HttpApi::Drain(Exchange exchange) { ChangeWorker(*exchange, &Membership::Drain); }

void HttpApi::Pause(Exchange exchange) { ChangeWorker(*exchange, &Membership::Pause); }

void HttpApi::Resume(Exchange exchange) { ChangeWorker(*exchange, &Membership::Resume); }

void HttpApi::ChangeWorker(HttpExchange& exchange,
                           absl::Status (Membership::*wish)(const wire::WorkerId&)) {
  const auto worker = WorkerNamed(exchange.request());
  AnswerDone(exchange, worker.ok() ? (coordinator_.membership().*wish)(*worker) : worker.status());
}

void HttpApi::TellJoinLine(Exchange exchange) { AnswerJoinLine(*exchange, false); }

void HttpApi::ReplaceJoinCode(Exchange exchange) { AnswerJoinLine(*exchange, true); }

void HttpApi::AnswerJoinLine(HttpExchange& exchange, bool replace) {
  const auto line = options_.join_line(replace);
  if (!line.ok()) return RespondError(exchange, line.status());
  RespondJson(exchange, {{"join_line", *line}});
}

}  // namespace potluck::coordinator
