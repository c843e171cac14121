// What people and programs ask the coordinator over HTTP: answers, health, the cluster's state, and
// the commands of whoever runs it.
//
//   GET  /, /web/...                                the web page: coordinator/web/
//   GET  /health, /v1/health                        200, or 503 until every model is ready
//   GET  /metrics                                   for Prometheus: docs/metrics.md
//   GET  /cluster                                   cluster_json.h
//   GET  /cluster/events                            the same, whenever it has changed
//   GET  /cluster/prometheus/...                    prometheus_targets.h
//   GET, POST /cluster/plan                         plan_answers.h
//   GET  /v1/models
//   POST /v1/completions, /v1/chat/completions      completion_request.h
//   POST /v1/embeddings                             embedding_request.h
//   POST /tokenize, /detokenize, /apply-template    text_answers.h
//   POST /cluster/load                              load_request.h
//   POST /cluster/unload                            {"model"}: a name, a path or an instance's id
//   POST /cluster/drain, /cluster/pause, /cluster/resume   {"worker"}: an id or a name
//   GET  /cluster/join-code                         {"join_line"}: what other machines join with
//   POST /cluster/join-code                         likewise, with a new code: former ones end
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/executor.h"
#include "common/metrics.h"
#include "coordinator/api/cluster_watch.h"
#include "coordinator/api/http/access.h"
#include "coordinator/api/http/completion_request.h"
#include "coordinator/api/http/http_server.h"
#include "coordinator/api/http/text_answers.h"
#include "coordinator/api/inference.h"
#include "coordinator/api/served_models.h"
#include "coordinator/coordinator.h"

namespace potluck::coordinator {

struct HttpApiOptions {
  AccessRules access;
  // HOST:PORT/CODE, with the present code or with one that replaces all former ones.
  std::function<absl::StatusOr<std::string>(bool replace)> join_line;
};

// Single-threaded: lives on the coordinator's executor.
class HttpApi {
 public:
  // All must outlive the object.
  struct Around {
    Coordinator& coordinator;
    ServedModels& models;
    Inference& inference;
    ClusterWatch& watch;
    MetricRegistry& metrics;
    Executor& executor;
    // Where plans are made that somebody only wants to know, so that no token and no heartbeat
    // waits for them.
    Executor& thinking;
  };
  HttpApi(HttpApiOptions options, const Around& around);

  // What a request that may not be made is answered; to be asked before Handle. Thread-safe.
  std::optional<HttpReply> Refusal(const HttpRequest& request) const;
  void Handle(std::shared_ptr<HttpExchange> exchange);

 private:
  using Exchange = std::shared_ptr<HttpExchange>;
  using Route = void (HttpApi::*)(Exchange);
  static const std::map<std::string, Route>& Routes();

  void Health(Exchange exchange);
  void Cluster(Exchange exchange);
  void Events(Exchange exchange);
  void Metrics(Exchange exchange);
  void PrometheusTargets(Exchange exchange);
  void WorkerMetrics(Exchange exchange);
  void Plans(Exchange exchange);
  void Foresee(Exchange exchange);
  void Models(Exchange exchange);
  void TextCompletion(Exchange exchange);
  void ChatCompletion(Exchange exchange);
  void Embed(Exchange exchange);
  void Tokenize(Exchange exchange);
  void Detokenize(Exchange exchange);
  void ApplyTemplate(Exchange exchange);
  void LoadModel(Exchange exchange);
  void UnloadModel(Exchange exchange);
  void Drain(Exchange exchange);
  void Pause(Exchange exchange);
  void Resume(Exchange exchange);
  void TellJoinLine(Exchange exchange);
  void ReplaceJoinCode(Exchange exchange);

  void Complete(Exchange exchange, CompletionKind kind);
  void AskText(Exchange exchange, TextQuestion::Kind kind);
  // Runs `work` elsewhere and hands on what it returns here, unless the client has gone by then;
  // an error is the answer.
  template <typename Work, typename Then>
  void Read(Exchange exchange, Work work, Then then);
  absl::StatusOr<wire::WorkerId> WorkerNamed(const HttpRequest& request) const;
  // On the thread for thinking, unless too much waits for it.
  void Think(HttpExchange& exchange, Executor::Task task);
  void ChangeWorker(HttpExchange& exchange,
                    absl::Status (Membership::*wish)(const wire::WorkerId&));
  void AnswerDone(HttpExchange& exchange, const absl::Status& status);
  void AnswerJoinLine(HttpExchange& exchange, bool replace);

  const HttpApiOptions options_;
  Coordinator& coordinator_;
  ServedModels& models_;
  Inference& inference_;
  MetricRegistry& metrics_;
  Executor& executor_;
  Executor& thinking_;
  ClusterWatch& watch_;
  const std::shared_ptr<bool> thoughts_ = std::make_shared<bool>();  // each has a copy
};

}  // namespace potluck::coordinator
