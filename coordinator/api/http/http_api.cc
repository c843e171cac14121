#include "coordinator/api/http/http_api.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "coordinator/api/cluster_json.h"
#include "coordinator/api/http/plan_answers.h"
#include "coordinator/api/http/replies.h"
#include "model/bounded_json.h"
#include "partition/layer_wishes.h"

namespace potluck::coordinator {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMostAnswers = 4096;
constexpr long kMostThoughts = 16;
constexpr char kStopping[] = "this coordinator is being stopped: ask again when it is back";

// All but the model.
absl::StatusOr<partition::InstanceWish> WishOf(const LoadRequest& request) {
  partition::InstanceWish wish;
  wish.context_length = request.context_length;
  wish.parallel = request.parallel;
  wish.kv_dtype = request.kv_dtype;
  wish.spread = request.spread;
  wish.copies = request.copies;
  if (request.layers.empty()) return wish;
  POTLUCK_ASSIGN_OR_RETURN(wish.layers, partition::ParseLayerWishes(request.layers));
  return wish;
}

}  // namespace

HttpApi::HttpApi(HttpApiOptions options, Coordinator& coordinator, ModelLibrary& library,
                 Executor& executor, Elsewhere elsewhere)
    : options_(std::move(options)),
      coordinator_(coordinator),
      library_(library),
      executor_(executor),
      elsewhere_(elsewhere) {}

HttpApi::~HttpApi() = default;

const std::map<std::string, HttpApi::Route>& HttpApi::Routes() {
  static const std::map<std::string, Route> routes = {
      {"GET /health", &HttpApi::Health},
      {"GET /cluster", &HttpApi::Cluster},
      {"GET /cluster/plan", &HttpApi::Plans},
      {"POST /cluster/plan", &HttpApi::Foresee},
      {"GET /v1/models", &HttpApi::Models},
      {"POST /v1/completions", &HttpApi::TextCompletion},
      {"POST /v1/chat/completions", &HttpApi::ChatCompletion},
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

void HttpApi::Handle(std::shared_ptr<HttpExchange> exchange) {
  const HttpRequest& request = exchange->request();
  const auto route = Routes().find(absl::StrCat(request.method, " ", request.path));
  if (route != Routes().end()) {
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
  RespondError(*exchange, absl::NotFoundError(absl::StrCat(
                              "there is nothing at ", Printable(request.path),
                              "; what there is: /v1/completions, /v1/chat/completions, /v1/models, "
                              "/health, /cluster")));
}

bool HttpApi::ready() const {
  return num_opening_ == 0 && !served_.empty() &&
         std::ranges::all_of(coordinator_.instances(),
                             [](const Instance* instance) { return instance->ready(); });
}

void HttpApi::Health(std::shared_ptr<HttpExchange> exchange) {
  if (stopping_) return RespondError(*exchange, absl::UnavailableError(kStopping));
  if (ready()) {
    RespondJson(*exchange, {{"status", "ok"}});
    return;
  }
  std::string why = num_opening_ > 0 || !served_.empty() ? "loading" : "no model is loaded";
  for (const auto& [id, served] : served_) {
    if (const absl::Status trouble = coordinator_.TroubleOf(id); !trouble.ok())
      why = std::string(trouble.message());
  }
  RespondError(*exchange, absl::UnavailableError(why));
}

void HttpApi::Cluster(std::shared_ptr<HttpExchange> exchange) {
  RespondJson(*exchange, ClusterJson(coordinator_, executor_.clock().SinceStart()));
}

void HttpApi::Plans(std::shared_ptr<HttpExchange> exchange) {
  const auto asked = ParsePlansAsked(exchange->request().query);
  if (!asked.ok()) return RespondError(*exchange, asked.status());
  std::vector<model::InstanceId> instances;
  for (const auto& [id, served] : served_) {
    if (asked->model.empty() || served.model->name == asked->model ||
        served.request.model == asked->model)
      instances.push_back(id);
  }
  if (instances.empty() && !asked->model.empty())
    return RespondError(*exchange, ModelNamed(asked->model).status());
  Think(*exchange, AnswerPlans(coordinator_, instances, *asked, exchange));
}

void HttpApi::Foresee(std::shared_ptr<HttpExchange> exchange) {
  const auto request = ParseLoadRequest(exchange->request().body);
  if (!request.ok()) return RespondError(*exchange, request.status());
  const auto path = options_.find_model(request->model);
  if (!path.ok()) return RespondError(*exchange, path.status());
  auto wish = WishOf(*request);
  if (!wish.ok()) return RespondError(*exchange, wish.status());
  Think(*exchange, AnswerForesight(coordinator_, *std::move(wish), *path, exchange));
}

void HttpApi::Think(HttpExchange& exchange, Executor::Task task) {
  if (thoughts_.use_count() > kMostThoughts) {
    return RespondError(exchange, absl::ResourceExhaustedError(
                                      "too many plans are being made already: try again later"));
  }
  elsewhere_.thinking.Post([thought = thoughts_, run = std::move(task)]() mutable { run(); });
}

void HttpApi::Models(std::shared_ptr<HttpExchange> exchange) {
  ordered_json data = ordered_json::array();
  for (const auto& [id, served] : served_) {
    const std::string& name = served.model->name;
    if (std::ranges::any_of(data, [&](const ordered_json& model) { return model["id"] == name; }))
      continue;
    data.push_back({{"id", name},
                    {"object", "model"},
                    {"created", served.loaded_at},
                    {"owned_by", "potluck"},
                    {"meta", {{"has_chat_template", served.model->text.has_chat_template()}}}});
  }
  RespondJson(*exchange, {{"object", "list"}, {"data", std::move(data)}});
}

// --- Answers -------------------------------------------------------------------------------------

void HttpApi::TextCompletion(std::shared_ptr<HttpExchange> exchange) {
  Complete(std::move(exchange), CompletionKind::kText);
}

void HttpApi::ChatCompletion(std::shared_ptr<HttpExchange> exchange) {
  Complete(std::move(exchange), CompletionKind::kChat);
}

// Of those that have the name, the one with the fewest requests.
absl::StatusOr<HttpApi::Served> HttpApi::ModelNamed(const std::string& name) const {
  const Served* best = nullptr;
  int64_t least = 0;
  std::vector<std::string> names;
  for (const Instance* instance : coordinator_.instances()) {
    const auto found = served_.find(instance->model().id);
    if (found == served_.end()) continue;
    names.push_back(found->second.model->name);
    if (!name.empty() && found->second.model->name != name) continue;
    const InstanceScheduler& scheduler = instance->scheduler();
    const int64_t load = (instance->serving() ? 0 : int64_t{1} << 32) + scheduler.num_active() +
                         scheduler.num_waiting();
    if (best == nullptr || load < least) {
      best = &found->second;
      least = load;
    }
  }
  if (best != nullptr) return *best;
  if (num_opening_ > 0) return absl::UnavailableError("the model is being loaded");
  return absl::NotFoundError(names.empty()
                                 ? "no model is loaded: potluck load MODEL"
                                 : absl::StrCat("there is no model ", Printable(name),
                                                " here, but ", absl::StrJoin(names, ", ")));
}

// Of replicas of the same weights, the one that holds the most of the prompt already, unless
// requests wait there: they are not to queue behind a common beginning while another one is free.
HttpApi::Served HttpApi::ReplicaFor(const Served& served,
                                    const std::vector<model::TokenId>& prompt) const {
  if (served_.size() < 2) return served;  // nothing to compare
  const Served* best = &served;
  int32_t most = 0;
  for (const Instance* instance : coordinator_.instances()) {
    const auto found = served_.find(instance->model().id);
    if (found == served_.end() || !instance->serving() || instance->scheduler().num_waiting() > 0 ||
        found->second.model->manifest.bytes != served.model->manifest.bytes)
      continue;
    const int32_t held = instance->scheduler().HeldPrefix(prompt);
    if (held < most || (held == most && found->first != served.instance)) continue;
    best = &found->second;
    most = held;
  }
  return *best;
}

// Before the first plan all that the model could have.
int64_t HttpApi::ContextLength(const Served& served) const {
  for (const Instance* instance : coordinator_.instances()) {
    if (instance->model().id == served.instance && instance->pipeline() != nullptr)
      return instance->pipeline()->plan.context_length;
  }
  return served.model->shape.context_length;
}

template <typename Work, typename Then>
void HttpApi::Read(std::shared_ptr<HttpExchange> exchange, Work work, Then then) {
  elsewhere_.reading.Post([exchange = std::move(exchange), work = std::move(work),
                           then = std::move(then), alive = std::weak_ptr(alive_),
                           &executor = executor_]() mutable {
    if (exchange->gone()) return;
    auto result = work();
    if (!result.ok()) return RespondError(*exchange, result.status());
    executor.Post([then = std::move(then), result = *std::move(result), alive]() mutable {
      if (!alive.expired()) then(std::move(result));
    });
  });
}

void HttpApi::Complete(std::shared_ptr<HttpExchange> exchange, CompletionKind kind) {
  if (stopping_) return RespondError(*exchange, absl::UnavailableError(kStopping));
  Read(
      exchange, [exchange, kind] { return ParseCompletionRequest(exchange->request().body, kind); },
      [this, exchange, kind](CompletionRequest asked) {
        Encode(exchange, kind, std::move(asked));
      });
}

void HttpApi::Encode(std::shared_ptr<HttpExchange> exchange, CompletionKind kind,
                     CompletionRequest asked) {
  auto served = ModelNamed(asked.model);
  if (!served.ok()) return RespondError(*exchange, served.status());
  const auto request = std::make_shared<CompletionRequest>(std::move(asked));
  Read(
      exchange,
      [request, to = served->model, context_length = ContextLength(*served),
       now = options_.local_time()]() -> absl::StatusOr<std::vector<model::TokenId>> {
        if (const auto* text = std::get_if<std::string>(&request->prompt))
          return to->text.EncodeText(*text, context_length);
        if (const auto* messages = std::get_if<ordered_json>(&request->prompt))
          return to->text.EncodeChat(*messages, now, context_length);
        return std::get<std::vector<model::TokenId>>(request->prompt);
      },
      [this, exchange, kind, request, served = *served](std::vector<model::TokenId> prompt) {
        Submit(exchange, kind, std::move(*request), served, std::move(prompt));
      });
}

void HttpApi::Submit(std::shared_ptr<HttpExchange> exchange, CompletionKind kind,
                     CompletionRequest asked, Served served, std::vector<model::TokenId> prompt) {
  if (stopping_) return RespondError(*exchange, absl::UnavailableError(kStopping));
  if (answers_.size() >= kMostAnswers) {
    return RespondError(*exchange,
                        absl::ResourceExhaustedError("too many requests wait here already"));
  }
  served = ReplicaFor(served, prompt);
  SequenceRequest request;
  request.prompt = std::move(prompt);
  request.sampling = asked.sampling.Over(served.model->text.default_sampling(), options_.random());
  request.max_tokens = asked.max_tokens;
  if (!asked.ignore_eos) request.end_tokens = served.model->end_tokens;
  request.top_logprobs = asked.top_logprobs;
  const uint64_t number = next_answer_++;
  AnswerHead head{.kind = kind, .created = options_.unix_time()};
  head.id = absl::StrCat(kind == CompletionKind::kChat ? "chatcmpl-" : "cmpl-",
                         absl::Hex(options_.random(), absl::kZeroPad16));
  // It ends in the midst of its own calls.
  const auto ended = [this, number] {
    executor_.Post([this, alive = std::weak_ptr(alive_), number] {
      if (alive.expired()) return;
      answers_.erase(number);
      TellIfAllEnded();
    });
  };
  auto answer =
      std::make_unique<CompletionAnswer>(std::move(head), std::move(asked), served.model,
                                         std::move(exchange), coordinator_, executor_, ended);
  CompletionAnswer& started = *answer;
  answers_.emplace(number, std::move(answer));
  started.Start(served.instance, std::move(request));
}

size_t HttpApi::StopTaking(std::function<void()> ended) {
  stopping_ = true;
  all_ended_ = std::move(ended);
  TellIfAllEnded();
  return answers_.size();
}

void HttpApi::TellIfAllEnded() {
  if (answers_.empty() && all_ended_) std::exchange(all_ended_, nullptr)();
}

void HttpApi::EndAnswers(const absl::Status& why) {
  for (const auto& [number, answer] : answers_) answer->GiveUp(why);
}

// --- Commands ------------------------------------------------------------------------------------

void HttpApi::AnswerDone(HttpExchange& exchange, const absl::Status& status) {
  if (status.ok()) {
    RespondJson(exchange, {{"status", "ok"}});
  } else {
    RespondError(exchange, status);
  }
}

std::vector<HttpApi::Loaded> HttpApi::loaded() const {
  std::vector<Loaded> loaded;
  for (const Instance* instance : coordinator_.instances()) {
    const auto found = served_.find(instance->model().id);
    if (found == served_.end()) continue;
    Loaded entry{found->second.request, found->second.previous};
    if (const Pipeline* pipeline = instance->pipeline()) {
      entry.request.context_length = pipeline->plan.context_length;
      entry.placements = pipeline->plan.placements();
    }
    loaded.push_back(std::move(entry));
  }
  return loaded;
}

void HttpApi::Load(LoadRequest request, std::vector<partition::Placement> previous,
                   std::function<void(const absl::Status&)> done) {
  auto path = options_.find_model(request.model);
  if (!path.ok()) return done(path.status());
  request.model = *path;
  const auto wished = WishOf(request);
  if (!wished.ok()) return done(wished.status());
  ++num_opening_;
  library_.Open(*path,
                [this, alive = std::weak_ptr(alive_), request = std::move(request), wish = *wished,
                 previous = std::move(previous), done = std::move(done)](auto opened) mutable {
                  if (alive.expired()) return;
                  --num_opening_;
                  if (!opened.ok()) return done(opened.status());
                  const std::shared_ptr<const ServedModel> model = *std::move(opened);
                  if (options_.opened) options_.opened(*model);
                  wish.model = model->shape;
                  wish.previous = previous;
                  InstanceModel instance;
                  instance.name = model->name;
                  instance.manifest = model->manifest.bytes;
                  instance.kv_dtype = request.kv_dtype;
                  instance.max_step_tokens = wish.max_step_tokens;
                  instance.windowed = model->window > 0;
                  instance.scheduled.vocab_size = model->vocab_size;
                  instance.scheduled.window = model->window;
                  instance.scheduled.context_length = model->shape.context_length;
                  const auto id = coordinator_.Load(std::move(instance), std::move(wish));
                  if (id.ok()) served_[*id] = {model, *id, request, previous, options_.unix_time()};
                  done(id.status());
                });
}

void HttpApi::LoadModel(std::shared_ptr<HttpExchange> exchange) {
  auto request = ParseLoadRequest(exchange->request().body);
  if (!request.ok()) return RespondError(*exchange, request.status());
  Load(*std::move(request), {},
       [this, exchange](const absl::Status& status) { AnswerDone(*exchange, status); });
}

void HttpApi::UnloadModel(std::shared_ptr<HttpExchange> exchange) {
  const auto request = ParseLoadRequest(exchange->request().body);
  if (!request.ok()) return RespondError(*exchange, request.status());
  std::vector<model::InstanceId> meant;
  for (const auto& [id, served] : served_) {
    if (request->model == absl::StrCat(id)) {
      meant = {id};
      break;
    }
    if (request->model == served.model->name || request->model == served.request.model)
      meant.push_back(id);
  }
  if (meant.empty()) return RespondError(*exchange, ModelNamed(request->model).status());
  if (meant.size() > 1) {
    return RespondError(*exchange, absl::InvalidArgumentError(absl::StrCat(
                                       Printable(request->model), " is loaded ", meant.size(),
                                       " times: give one of the instances ",
                                       absl::StrJoin(meant, ", "), " instead")));
  }
  served_.erase(meant.front());
  AnswerDone(*exchange, coordinator_.Unload(meant.front()));
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

void HttpApi::Drain(std::shared_ptr<HttpExchange> exchange) {
  ChangeWorker(*exchange, &Membership::Drain);
}

void HttpApi::Pause(std::shared_ptr<HttpExchange> exchange) {
  ChangeWorker(*exchange, &Membership::Pause);
}

void HttpApi::Resume(std::shared_ptr<HttpExchange> exchange) {
  ChangeWorker(*exchange, &Membership::Resume);
}

void HttpApi::ChangeWorker(HttpExchange& exchange,
                           absl::Status (Membership::*wish)(const wire::WorkerId&)) {
  const auto worker = WorkerNamed(exchange.request());
  AnswerDone(exchange, worker.ok() ? (coordinator_.membership().*wish)(*worker) : worker.status());
}

void HttpApi::TellJoinLine(std::shared_ptr<HttpExchange> exchange) {
  AnswerJoinLine(*exchange, false);
}

void HttpApi::ReplaceJoinCode(std::shared_ptr<HttpExchange> exchange) {
  AnswerJoinLine(*exchange, true);
}

void HttpApi::AnswerJoinLine(HttpExchange& exchange, bool replace) {
  const auto line = options_.join_line(replace);
  if (!line.ok()) return RespondError(exchange, line.status());
  RespondJson(exchange, {{"join_line", *line}});
}

}  // namespace potluck::coordinator
