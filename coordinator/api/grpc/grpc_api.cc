#include "coordinator/api/grpc/grpc_api.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "coordinator/api/cluster_json.h"
#include "coordinator/api/grpc/answer_body.h"
#include "coordinator/api/grpc/answer_events.h"
#include "coordinator/api/grpc/reply_calls.h"
#include "coordinator/api/http/completion_request.h"
#include "coordinator/api/json_text.h"
#include "grpc/support/time.h"
#include "grpcpp/health_check_service_interface.h"
#include "potluck/v1/inference.grpc.pb.h"
#include "wire/grpc/credentials.h"
#include "wire/grpc/targets.h"

namespace potluck::coordinator {
namespace {

constexpr char kService[] = "potluck.v1.Inference";
constexpr int kMaxMessageBytes = 32 << 20;
constexpr size_t kMostInputs = 2048;
constexpr int64_t kGoodbyeMs = 500;
constexpr long kMostCalls = 2048;  // as many as HTTP's connections

std::string MetadataOf(const grpc::CallbackServerContext& context, const char* name) {
  const auto found = context.client_metadata().find(name);
  if (found == context.client_metadata().end()) return "";
  return std::string(found->second.data(), found->second.size());
}

// As HTTP's clients say it.
std::string KeyOf(const grpc::CallbackServerContext& context) {
  return std::string(KeyIn(MetadataOf(context, "authorization"), MetadataOf(context, "api-key")));
}

v1::ClusterState StateOf(const nlohmann::ordered_json& json) {
  v1::ClusterState state;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  // The names and types are the JSON's own, which a test holds together.
  const auto status = google::protobuf::util::JsonStringToMessage(Dump(json), &state, options);
  if (!status.ok()) Log(LogLevel::kError, "state not told", {{"status", status.ToString()}});
  return state;
}

// Of all that watch: each state is made once.
struct LatestState {
  int64_t number = 0;  // 0: there is none
  v1::ClusterState state;
};

class WatchingCall final : public ClusterWatcher {
 public:
  WatchingCall(std::shared_ptr<ReplyStream<v1::ClusterState>> call,
               std::shared_ptr<LatestState> latest)
      : call_(std::move(call)), latest_(std::move(latest)) {}
  bool HasReadAll() const override { return call_->queued_bytes() == 0; }
  void OnState(const nlohmann::ordered_json& state, int64_t number) override {
    if (std::exchange(latest_->number, number) != number) latest_->state = StateOf(state);
    call_->Write(latest_->state);
  }
  void OnNothingNew() override {}  // HTTP/2 has pings
  void OnEnd() override { call_->Finish(absl::UnavailableError("the coordinator is ending")); }

 private:
  const std::shared_ptr<ReplyStream<v1::ClusterState>> call_;
  const std::shared_ptr<LatestState> latest_;
};

class EmbeddingCall final : public EmbeddingReader {
 public:
  explicit EmbeddingCall(std::shared_ptr<ReplyOnce<v1::EmbedReply>> call)
      : call_(std::move(call)) {}

  bool gone() const override { return call_->gone(); }
  void OnBegin(Embedding& embedding) override {
    under_way_ = std::make_shared<Embedding*>(&embedding);
    call_->OnGone([weak = std::weak_ptr(under_way_)] {
      if (const auto under_way = weak.lock()) (*under_way)->Cancel();
    });
  }
  void OnEnd(Embeddings embeddings, std::shared_ptr<const void> /*told*/) override {
    under_way_.reset();
    v1::EmbedReply reply;
    reply.set_model(embeddings.model_name);
    reply.set_prompt_tokens(static_cast<uint32_t>(embeddings.prompt_tokens));
    for (const std::vector<float>& vector : embeddings.vectors)
      reply.add_embeddings()->mutable_values()->Add(vector.begin(), vector.end());
    call_->Finish(std::move(reply));
  }
  void OnFailed(const absl::Status& why) override {
    under_way_.reset();
    call_->Finish(why);
  }

 private:
  const std::shared_ptr<ReplyOnce<v1::EmbedReply>> call_;
  std::shared_ptr<Embedding*> under_way_;
};

v1::ListModelsReply ModelsOf(const ServedModels& models) {
  v1::ListModelsReply reply;
  for (const auto& [id, served] : models.all()) {
    const std::string& name = served.name();
    if (std::ranges::any_of(reply.models(),
                            [&](const v1::Model& model) { return model.id() == name; }))
      continue;
    v1::Model& told = *reply.add_models();
    told.set_id(name);
    for (const std::string& alias : served.request.aliases) told.add_aliases(alias);
    told.set_name(served.model->name);
    told.set_created(served.loaded_at);
    told.set_vocab_size(static_cast<uint32_t>(served.model->vocab_size));
    told.set_context_length(static_cast<uint32_t>(models.ContextLength(served)));
    told.set_trained_context_length(static_cast<uint32_t>(served.model->shape.context_length));
    told.set_has_chat_template(served.model->text.has_chat_template());
    told.set_embedding_dim(static_cast<uint32_t>(served.model->shape.model_dim));
  }
  return reply;
}

absl::StatusOr<v1::TokenizeReply> Tokens(const model::Tokenizer& tokenizer,
                                         const v1::TokenizeRequest& request) {
  POTLUCK_ASSIGN_OR_RETURN(
      const std::vector<model::TokenId> ids,
      tokenizer.Encode(request.text(),
                       {.add_special = request.add_special(),
                        .parse_control = !request.has_parse_special() || request.parse_special()}));
  v1::TokenizeReply reply;
  for (const model::TokenId id : ids) reply.add_tokens(static_cast<uint32_t>(id));
  return reply;
}

absl::StatusOr<EmbeddingRequest> InputsOf(const v1::EmbedRequest& request) {
  EmbeddingRequest asked{.model = request.model(), .inputs = {}};
  if (request.inputs().empty() || static_cast<size_t>(request.inputs_size()) > kMostInputs)
    return absl::InvalidArgumentError(absl::StrCat("inputs must be 1 to ", kMostInputs));
  for (const v1::Prompt& input : request.inputs()) {
    POTLUCK_ASSIGN_OR_RETURN(Prompt prompt, PromptOf(input));
    asked.inputs.push_back(std::move(prompt));
  }
  return asked;
}

}  // namespace

// Methods are called on gRPC's threads; what follows is a task of the executor.
class GrpcApi::Impl final : public v1::Inference::CallbackService {
 public:
  Impl(GrpcApiOptions options, const Around& around)
      : options_(std::move(options)), around_(around) {}
  ~Impl() override {
    alive_.reset();
    // Answers that have ended still reach their clients.
    if (listening_.server != nullptr)
      listening_.server->Shutdown(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                               gpr_time_from_millis(kGoodbyeMs, GPR_TIMESPAN)));
  }

  absl::Status Listen() {
    wire::PublicServerOptions options{.addresses = options_.addresses,
                                      .max_message_bytes = kMaxMessageBytes};
    if (options_.certificate != nullptr) {
      options.certificate = [files = options_.certificate] {
        ServerCertificate current = files->Current();
        return wire::ShownCertificate{.chain = std::move(current.chain),
                                      .private_key = std::move(current.private_key),
                                      .version = current.version};
      };
    }
    POTLUCK_ASSIGN_OR_RETURN(listening_, wire::StartPublicServer(options, {this}));
    SetServing(false);
    return absl::OkStatus();
  }

  const std::vector<std::string>& addresses() const { return listening_.addresses; }
  void SetServing(bool serving) {
    grpc::HealthCheckServiceInterface* health = listening_.server->GetHealthCheckService();
    health->SetServingStatus("", serving);
    health->SetServingStatus(kService, serving);
  }

 private:
  using Context = grpc::CallbackServerContext;
  using AnswerReactor = grpc::ServerWriteReactor<v1::AnswerEvent>;

  AnswerReactor* Generate(Context* context, const v1::GenerateRequest* request) override {
    return AnswerTo(*context, "Generate", *request, CompletionKind::kText);
  }
  AnswerReactor* Chat(Context* context, const v1::ChatRequest* request) override {
    return AnswerTo(*context, "Chat", *request, CompletionKind::kChat);
  }
  template <class Request>
  AnswerReactor* AnswerTo(const Context& context, const char* method, const Request& request,
                          CompletionKind kind) {
    auto call = AnswerCallStream::Make(around_.executor);
    AnswerCallStream* reactor = call.get();
    if (!MayAsk(context, *call)) return reactor;
    auto body = CompletionBody(request);
    if (!body.ok()) {
      call->Finish(body.status());
      return reactor;
    }
    Post(context, method, [this, call = std::move(call), kind, body = *std::move(body)]() mutable {
      around_.inference.Elsewhere(
          [call] { return call->gone(); },
          [body = std::move(body), kind] { return ParseCompletionRequest(body, kind); },
          [this, call, kind](absl::StatusOr<CompletionRequest> asked) {
            if (!asked.ok()) return call->Finish(asked.status());
            around_.inference.Start(kind == CompletionKind::kChat ? "chatcmpl-" : "cmpl-",
                                    std::move(asked->answer), std::make_shared<AnswerEvents>(call));
          });
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* Tokenize(Context* context, const v1::TokenizeRequest* request,
                                     v1::TokenizeReply* reply) override {
    auto call = ReplyOnce<v1::TokenizeReply>::Make(around_.executor, reply);
    if (!MayAsk(*context, *call)) return call.get();
    Post(*context, "Tokenize", [this, call, asked = *request] {
      const auto served = around_.models.Named(asked.model());
      if (!served.ok()) return call->Finish(served.status());
      around_.inference.Elsewhere(
          [call] { return call->gone(); },
          [to = served->model, asked] { return Tokens(to->text.tokenizer(), asked); },
          [call](absl::StatusOr<v1::TokenizeReply> tokens) { call->Finish(std::move(tokens)); });
    });
    return call.get();
  }

  grpc::ServerUnaryReactor* Embed(Context* context, const v1::EmbedRequest* request,
                                  v1::EmbedReply* reply) override {
    auto call = ReplyOnce<v1::EmbedReply>::Make(around_.executor, reply);
    if (!MayAsk(*context, *call)) return call.get();
    Post(*context, "Embed", [this, call, asked = InputsOf(*request)]() mutable {
      if (!asked.ok()) return call->Finish(asked.status());
      around_.inference.Embed(*std::move(asked), std::make_shared<EmbeddingCall>(call));
    });
    return call.get();
  }

  grpc::ServerUnaryReactor* ListModels(Context* context, const v1::ListModelsRequest*,
                                       v1::ListModelsReply* reply) override {
    auto call = ReplyOnce<v1::ListModelsReply>::Make(around_.executor, reply);
    if (!MayAsk(*context, *call)) return call.get();
    Post(*context, "ListModels", [this, call] { call->Finish(ModelsOf(around_.models)); });
    return call.get();
  }

  grpc::ServerUnaryReactor* GetCluster(Context* context, const v1::GetClusterRequest*,
                                       v1::ClusterState* reply) override {
    auto call = ReplyOnce<v1::ClusterState>::Make(around_.executor, reply);
    if (!MayAsk(*context, *call)) return call.get();
    Post(*context, "GetCluster", [this, call] {
      call->Finish(
          StateOf(ClusterJson(around_.coordinator, around_.executor.clock().SinceStart())));
    });
    return call.get();
  }

  grpc::ServerWriteReactor<v1::ClusterState>* WatchCluster(
      Context* context, const v1::WatchClusterRequest*) override {
    auto call = ReplyStream<v1::ClusterState>::Make(around_.executor);
    if (!MayAsk(*context, *call)) return call.get();
    Post(*context, "WatchCluster", [this, call] {
      auto leave = around_.watch.Add(std::make_shared<WatchingCall>(call, latest_));
      if (!leave.ok()) return call->Finish(leave.status());
      call->OnGone(*std::move(leave));
    });
    return call.get();
  }

  // Whether the call is to be answered; otherwise it has been told why not. Nothing of a request is
  // looked at before.
  template <class Call>
  bool MayAsk(const Context& context, Call& call) {
    absl::Status status =
        CheckKey(options_.access, KeyOf(context), wire::IsOnThisMachine(context.peer()));
    if (status.ok() && open_.use_count() > kMostCalls)
      status =
          absl::ResourceExhaustedError("too many calls are open here already: try again later");
    if (!status.ok()) {
      call.Finish(status);
      return false;
    }
    call.Hold(open_);
    return true;
  }

  // Has it answered by a task.
  void Post(const Context& context, const char* method, absl::AnyInvocable<void()> answer) {
    around_.executor.Post([this, alive = std::weak_ptr(alive_), method,
                           caller = CallerWith(options_.access, KeyOf(context)),
                           answer = std::move(answer)]() mutable {
      if (alive.expired()) return;
      around_.metrics
          .AddCounter("potluck_grpc_requests_total", "Calls over gRPC, by whose key they came with",
                      {{"method", method}, {"key", caller}})
          .Add(1);
      answer();
    });
  }

  const GrpcApiOptions options_;
  const Around around_;
  wire::PublicServer listening_;
  const std::shared_ptr<const bool> open_ = std::make_shared<bool>();  // each call has a copy
  const std::shared_ptr<LatestState> latest_ = std::make_shared<LatestState>();  // on the executor
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);                   // likewise
};

absl::StatusOr<std::unique_ptr<GrpcApi>> GrpcApi::Start(GrpcApiOptions options,
                                                        const Around& around) {
  auto impl = std::make_unique<Impl>(std::move(options), around);
  POTLUCK_RETURN_IF_ERROR(impl->Listen());
  return std::unique_ptr<GrpcApi>(new GrpcApi(std::move(impl)));
}

GrpcApi::GrpcApi(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcApi::~GrpcApi() = default;

const std::vector<std::string>& GrpcApi::addresses() const { return impl_->addresses(); }
void GrpcApi::SetServing(bool serving) { impl_->SetServing(serving); }

}  // namespace potluck::coordinator
