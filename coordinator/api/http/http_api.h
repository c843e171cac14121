// What people and programs ask the coordinator over HTTP: answers, health, the cluster's state, and
// the commands of whoever runs it.
//
//   GET  /health                                    200, or 503 until every model is ready
//   GET  /cluster                                   cluster_json.h
//   GET, POST /cluster/plan                         plan_answers.h
//   GET  /v1/models
//   POST /v1/completions, /v1/chat/completions      completion_request.h
//   POST /cluster/load                              load_request.h
//   POST /cluster/unload                            {"model"}: a name, a path or an instance's id
//   POST /cluster/drain, /cluster/pause, /cluster/resume   {"worker"}: an id or a name
//   GET  /cluster/join-code                         {"join_line"}: what other machines join with
//   POST /cluster/join-code                         likewise, with a new code: former ones end
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/civil_time.h"
#include "common/executor.h"
#include "coordinator/api/http/access.h"
#include "coordinator/api/http/completion_answer.h"
#include "coordinator/api/http/http_server.h"
#include "coordinator/api/http/load_request.h"
#include "coordinator/coordinator.h"
#include "coordinator/library/model_library.h"

namespace potluck::coordinator {

struct HttpApiOptions {
  AccessRules access;
  std::function<int64_t()> unix_time;
  std::function<absl::CivilSecond()> local_time;
  std::function<uint64_t()> random;
  // What a MODEL argument means: a path, or a name in the models folder.
  std::function<absl::StatusOr<std::string>(const std::string&)> find_model;
  // HOST:PORT/CODE, with the present code or with one that replaces all former ones.
  std::function<absl::StatusOr<std::string>(bool replace)> join_line;
  // Told before workers are asked to fetch it.
  std::function<void(const ServedModel&)> opened;
};

// Single-threaded: lives on the coordinator's executor.
class HttpApi {
 public:
  // Where what takes long is done, so that no token and no heartbeat waits for it.
  struct Elsewhere {
    Executor& thinking;  // plans that somebody only wants to know
    Executor& reading;   // requests for answers, and the encoding of their texts
  };
  // All must outlive the object.
  HttpApi(HttpApiOptions options, Coordinator& coordinator, ModelLibrary& library,
          Executor& executor, Elsewhere elsewhere);
  ~HttpApi();

  // What a request that may not be made is answered; to be asked before Handle. Thread-safe.
  std::optional<HttpReply> Refusal(const HttpRequest& request) const;
  void Handle(std::shared_ptr<HttpExchange> exchange);
  // Also for a program's own start. Tells `done` when it is known and its workers are being asked,
  // or why it cannot be. `previous`: where it ran in an earlier life of this coordinator.
  void Load(LoadRequest request, std::vector<partition::Placement> previous,
            std::function<void(const absl::Status&)> done);
  // What is loaded, how, and where.
  struct Loaded {
    LoadRequest request;
    std::vector<partition::Placement> placements;
  };
  std::vector<Loaded> loaded() const;
  // Models that are still being opened do not count as ready.
  bool ready() const;

  // From now on new requests for answers get 503. Returns how many answers are under way, and calls
  // `ended` once when there is none any more, perhaps at once.
  size_t StopTaking(std::function<void()> ended);
  // Answers that are under way end in this error.
  void EndAnswers(const absl::Status& why);

 private:
  struct Served {
    std::shared_ptr<const ServedModel> model;
    model::InstanceId instance = 0;
    LoadRequest request;  // its model is a path
    std::vector<partition::Placement> previous;
    int64_t loaded_at = 0;  // Unix time
  };
  using Route = void (HttpApi::*)(std::shared_ptr<HttpExchange>);
  static const std::map<std::string, Route>& Routes();

  void Health(std::shared_ptr<HttpExchange> exchange);
  void Cluster(std::shared_ptr<HttpExchange> exchange);
  void Plans(std::shared_ptr<HttpExchange> exchange);
  void Foresee(std::shared_ptr<HttpExchange> exchange);
  void Models(std::shared_ptr<HttpExchange> exchange);
  void TextCompletion(std::shared_ptr<HttpExchange> exchange);
  void ChatCompletion(std::shared_ptr<HttpExchange> exchange);
  void LoadModel(std::shared_ptr<HttpExchange> exchange);
  void UnloadModel(std::shared_ptr<HttpExchange> exchange);
  void Drain(std::shared_ptr<HttpExchange> exchange);
  void Pause(std::shared_ptr<HttpExchange> exchange);
  void Resume(std::shared_ptr<HttpExchange> exchange);
  void TellJoinLine(std::shared_ptr<HttpExchange> exchange);
  void ReplaceJoinCode(std::shared_ptr<HttpExchange> exchange);

  // A request for an answer is read, its text is encoded for the model that it names, and it is
  // submitted; the first two elsewhere.
  void Complete(std::shared_ptr<HttpExchange> exchange, CompletionKind kind);
  void Encode(std::shared_ptr<HttpExchange> exchange, CompletionKind kind, CompletionRequest asked);
  void Submit(std::shared_ptr<HttpExchange> exchange, CompletionKind kind, CompletionRequest asked,
              Served served, std::vector<model::TokenId> prompt);
  // Runs `work` elsewhere and hands on what it returns here, unless the client has gone by then;
  // an error is the answer.
  template <typename Work, typename Then>
  void Read(std::shared_ptr<HttpExchange> exchange, Work work, Then then);
  absl::StatusOr<Served> ModelNamed(const std::string& name) const;
  Served ReplicaFor(const Served& served, const std::vector<model::TokenId>& prompt) const;
  int64_t ContextLength(const Served& served) const;
  absl::StatusOr<wire::WorkerId> WorkerNamed(const HttpRequest& request) const;
  // On the thread for thinking, unless too much waits for it.
  void Think(HttpExchange& exchange, Executor::Task task);
  void TellIfAllEnded();
  void ChangeWorker(HttpExchange& exchange,
                    absl::Status (Membership::*wish)(const wire::WorkerId&));
  void AnswerDone(HttpExchange& exchange, const absl::Status& status);
  void AnswerJoinLine(HttpExchange& exchange, bool replace);

  const HttpApiOptions options_;
  Coordinator& coordinator_;
  ModelLibrary& library_;
  Executor& executor_;
  const Elsewhere elsewhere_;
  const std::shared_ptr<bool> thoughts_ = std::make_shared<bool>();  // each has a copy
  std::map<model::InstanceId, Served> served_;
  int num_opening_ = 0;
  uint64_t next_answer_ = 1;
  std::map<uint64_t, std::unique_ptr<CompletionAnswer>> answers_;
  bool stopping_ = false;            // no new ones are taken
  std::function<void()> all_ended_;  // to be told
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace potluck::coordinator
