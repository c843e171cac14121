#include "wire/grpc/grpc_server.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <utility>

#include "common/check.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "grpcpp/server_context.h"
#include "potluck/v1/cluster.grpc.pb.h"
#include "wire/grpc/completion_poller.h"
#include "wire/grpc/credentials.h"
#include "wire/grpc/frame_buffer.h"
#include "wire/grpc/live_calls.h"
#include "wire/grpc/status_codes.h"
#include "wire/grpc/stream.h"
#include "wire/grpc/targets.h"
#include "wire/version.h"

namespace potluck::wire {
namespace {

constexpr std::chrono::milliseconds kGoodbyeTime(500);
constexpr size_t kMostJoins = 64;  // at the same time

using ByteStream = grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;
// Streams take bytes, as DialledCall sends them.
using ClusterService = v1::Cluster::WithRawMethod_Control<
    v1::Cluster::WithRawMethod_Weights<v1::Cluster::WithAsyncMethod_Join<v1::Cluster::Service>>>;
using StageService = v1::Stage::WithRawMethod_Data<v1::Stage::Service>;

// A call that has come.
class AcceptedCall final : public Call {
 public:
  struct Method {
    // Has gRPC take the next call of the method into these.
    std::function<void(grpc::ServerContext*, ByteStream*, void* tag)> request_next;
    // The call's stream, or why it is turned away.
    std::function<absl::StatusOr<std::shared_ptr<Stream>>(const grpc::ServerContext&)> accept;
    // It may be given to whoever takes links.
    std::function<void(const std::shared_ptr<Stream>&)> begun;
    std::shared_ptr<LiveCalls> calls;
  };

  // Takes a call of the method once one comes, and another one after it. Deletes itself when the
  // call is over, or when the server ends, which the method must outlive.
  static void WaitForNext(const Method& method) { new AcceptedCall(method); }

  void Opened() override {
    ++pending_;
    call_.SendInitialMetadata(&opened_);
  }
  void Read() override {
    ++pending_;
    call_.Read(&incoming_, &read_);
  }
  void Write(EncodedFrame frame) override {
    ++pending_;
    outgoing_ = ToByteBuffer(std::move(frame));
    call_.Write(outgoing_, &written_);
  }
  void WritesDone() override {}
  void Finish() override { call_.Finish(grpc::Status::OK, &finished_); }
  void Cancel() override { context_.TryCancel(); }
  bool dialled() const override { return false; }

 private:
  explicit AcceptedCall(const Method& method) : method_(method) {
    context_.AsyncNotifyWhenDone(&over_);
    method.request_next(&context_, &call_, &come_);
  }

  void OnCome(bool ok) {
    if (!ok) {  // the server ends
      delete this;
      return;
    }
    WaitForNext(method_);
    calls_ = method_.calls;
    absl::StatusOr<std::shared_ptr<Stream>> stream = method_.accept(context_);
    if (!stream.ok()) return call_.Finish(ToGrpc(stream.status()), &finished_);
    stream_ = *std::move(stream);
    stream_->Begin(this);
    method_.begun(stream_);
  }
  void OnRead(bool ok) {
    stream_->ReadDone(ok, std::exchange(incoming_, {}));
    Completed(ok);
  }
  void OnWritten(bool ok) {
    outgoing_.Clear();
    stream_->WriteDone(ok);
    Completed(ok);
  }
  void OnOver(bool ok) {
    if (stream_ != nullptr && context_.IsCancelled()) stream_->Abort();
    Completed(ok);
  }

  // To be the last of every operation.
  void Completed(bool /*ok*/) {
    if (--pending_ > 0) return;
    const std::shared_ptr<LiveCalls> calls = std::move(calls_);
    const std::shared_ptr<Stream> stream = std::move(stream_);
    if (stream != nullptr) stream->CallDone(absl::OkStatus());
    delete this;
    if (stream != nullptr) calls->Remove(stream);
  }

  const Method& method_;  // until the call has come
  grpc::ServerContext context_;
  ByteStream call_{&context_};
  std::shared_ptr<Stream> stream_;  // null: refused
  std::shared_ptr<LiveCalls> calls_;
  grpc::ByteBuffer incoming_, outgoing_;
  // Operations that are not completed: the call's end, and its finish, which comes at any rate.
  std::atomic<int> pending_ = 2;
  CompletionOf<AcceptedCall> come_{this, &AcceptedCall::OnCome},
      opened_{this, &AcceptedCall::Completed}, read_{this, &AcceptedCall::OnRead},
      written_{this, &AcceptedCall::OnWritten}, over_{this, &AcceptedCall::OnOver},
      finished_{this, &AcceptedCall::Completed};
};

// A machine that asks to join.
class JoinCall {
 public:
  struct Method {
    std::function<void(grpc::ServerContext*, v1::JoinRequest*,
                       grpc::ServerAsyncResponseWriter<v1::JoinReply>*, void* tag)>
        request_next;
    // Each call is to be answered, once.
    std::function<void(JoinCall*)> accept;
  };

  // As AcceptedCall's.
  static void WaitForNext(const Method& method) { new JoinCall(method); }

  const v1::JoinRequest& request() const { return request_; }
  const grpc::ServerContext& context() const { return context_; }
  // Then it is gone.
  void Answer(const absl::StatusOr<std::string>& certificate) {
    v1::JoinReply reply;
    reply.mutable_version()->set_major(kProtocolMajor);
    reply.mutable_version()->set_minor(kProtocolMinor);
    if (certificate.ok()) reply.set_certificate(*certificate);
    answer_.Finish(reply, ToGrpc(certificate.status()), &answered_);
  }

 private:
  explicit JoinCall(const Method& method) : method_(method) {
    method.request_next(&context_, &request_, &answer_, &come_);
  }

  void OnCome(bool ok) {
    if (!ok) {  // the server ends
      delete this;
      return;
    }
    WaitForNext(method_);
    method_.accept(this);
  }
  void OnAnswered(bool /*ok*/) { delete this; }

  const Method& method_;  // until the call has come
  grpc::ServerContext context_;
  v1::JoinRequest request_;
  grpc::ServerAsyncResponseWriter<v1::JoinReply> answer_{&context_};
  CompletionOf<JoinCall> come_{this, &JoinCall::OnCome}, answered_{this, &JoinCall::OnAnswered};
};

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(ThreadExecutor& executor, LinkAcceptor& acceptor, Options options)
      : executor_(executor),
        acceptor_(acceptor),
        options_(std::move(options)),
        identity_(std::make_shared<ServerIdentity>(options_.identity)) {}

  ~Impl() {
    if (poller_ == nullptr) return;
    *alive_ = false;
    EndJoins();
    const PolledElsewhere polled(*poller_);
    calls_->EndAll(std::chrono::steady_clock::now() + kGoodbyeTime);
    listening_->server.server->Shutdown(std::chrono::system_clock::time_point());
  }

  absl::Status Listen() {
    POTLUCK_ASSIGN_OR_RETURN(
        listening_->server,
        StartServer(identity_, options_.addresses, {&listening_->cluster, &listening_->stage}));
    poller_ = std::make_shared<CompletionPoller>(
        std::shared_ptr<grpc::CompletionQueue>(listening_, listening_->server.queue.get()));
    POTLUCK_CHECK(executor_.poller() == nullptr);
    executor_.SetPoller(poller_);
    for (const AcceptedCall::Method* method : {&control_, &weights_, &data_})
      AcceptedCall::WaitForNext(*method);
    JoinCall::WaitForNext(join_);
    return absl::OkStatus();
  }

  void UseIdentity(TlsIdentity identity) { identity_->Replace(std::move(identity)); }

  const std::vector<std::string>& addresses() const { return listening_->server.addresses; }

 private:
  // A method of a service whose calls are links.
  template <class Service, class Request>
  AcceptedCall::Method LinksOf(Service& service, LinkKind kind, Request request) {
    return {
        .request_next =
            [this, &service, request](grpc::ServerContext* context, ByteStream* stream, void* tag) {
              (service.*request)(context, stream, listening_->server.queue.get(),
                                 listening_->server.queue.get(), tag);
            },
        .accept = [this,
                   kind](const grpc::ServerContext& context) { return Accept(context, kind); },
        .begun =
            [this, kind](const std::shared_ptr<Stream>& stream) {
              executor_.Post([this, alive = alive_, stream, kind] {
                if (*alive) GiveLink(stream, kind);
              });
            },
        .calls = calls_};
  }

  // In polling.
  absl::StatusOr<std::shared_ptr<Stream>> Accept(const grpc::ServerContext& context,
                                                 LinkKind kind) {
    PeerIdentity peer{ProvedMember(*context.auth_context()), AddressOfPeer(context.peer())};
    if (peer.worker.empty()) {
      return absl::UnauthenticatedError(
          "this takes a certificate of the cluster: use 'potluck join' first");
    }
    auto sent = options_.traffic->SentTo(peer.worker);
    auto stream = std::make_shared<Stream>(executor_, std::move(peer),
                                           MessageReader(kind, /*dialled=*/false), std::move(sent));
    if (!calls_->Add(stream))
      return absl::ResourceExhaustedError("there are too many links to this peer");
    return stream;
  }

  // As a task.
  void GiveLink(const std::shared_ptr<Stream>& stream, LinkKind kind) {
    LinkHandler& handler = acceptor_.OnLink(kind, std::make_unique<StreamLink>(stream));
    if (!stream->closing()) stream->SetHandler(&handler);
    stream->Up(true);
  }

  // In polling.
  void Join(JoinCall* call) {
    JoinAttempt attempt;
    const v1::JoinRequest& request = call->request();
    attempt.version = {request.version().major(), request.version().minor(),
                       request.version().build()};
    attempt.certificate_request = request.certificate_request();
    attempt.proof = request.proof();
    attempt.name = request.name();
    attempt.address = AddressOfPeer(call->context().peer());
    attempt.proved = ProvedMember(*call->context().auth_context());
    bool waits = false;
    {
      MutexLock lock(joins_mutex_);
      waits = !ending_ && joins_.size() < kMostJoins;
      if (waits) joins_.insert(call);
    }
    if (!waits)
      return call->Answer(absl::UnavailableError("too many machines want to join: try again"));
    executor_.Post([this, alive = alive_, attempt = std::move(attempt), call] {
      if (*alive) AnswerJoin(attempt, call);
    });
  }

  // As a task.
  void AnswerJoin(const JoinAttempt& attempt, JoinCall* call) {
    {
      MutexLock lock(joins_mutex_);
      joins_.erase(call);
    }
    if (options_.join_desk == nullptr) {
      return call->Answer(absl::UnimplementedError(
          "this is a worker: join at the coordinator's address, which 'potluck up' printed"));
    }
    call->Answer(options_.join_desk->Admit(attempt));
  }

  // gRPC waits for all answers before it ends, and the executor's tasks may wait for us.
  void EndJoins() {
    std::set<JoinCall*> joins;
    {
      MutexLock lock(joins_mutex_);
      ending_ = true;
      joins.swap(joins_);
    }
    for (JoinCall* call : joins) call->Answer(absl::UnavailableError("the coordinator is ending"));
  }

  ThreadExecutor& executor_;
  LinkAcceptor& acceptor_;
  const Options options_;
  const std::shared_ptr<ServerIdentity> identity_;
  const std::shared_ptr<LiveCalls> calls_ = std::make_shared<LiveCalls>();
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // on the executor
  Mutex joins_mutex_;
  bool ending_ ABSL_GUARDED_BY(joins_mutex_) = false;
  std::set<JoinCall*> joins_ ABSL_GUARDED_BY(joins_mutex_);  // not answered yet
  // What is still in the queue when the server has ended refers to the server: they go together.
  struct Listening {
    ClusterService cluster;
    StageService stage;
    ListeningServer server;
  };
  const std::shared_ptr<Listening> listening_ = std::make_shared<Listening>();
  const AcceptedCall::Method control_ =
      LinksOf(listening_->cluster, LinkKind::kControl, &ClusterService::RequestControl);
  const AcceptedCall::Method weights_ =
      LinksOf(listening_->cluster, LinkKind::kWeights, &ClusterService::RequestWeights);
  const AcceptedCall::Method data_ =
      LinksOf(listening_->stage, LinkKind::kData, &StageService::RequestData);
  const JoinCall::Method join_ = {
      .request_next =
          [this](grpc::ServerContext* context, v1::JoinRequest* request,
                 grpc::ServerAsyncResponseWriter<v1::JoinReply>* answer, void* tag) {
            listening_->cluster.RequestJoin(context, request, answer,
                                            listening_->server.queue.get(),
                                            listening_->server.queue.get(), tag);
          },
      .accept = [this](JoinCall* call) { Join(call); }};
  std::shared_ptr<CompletionPoller> poller_;
};

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(ThreadExecutor& executor,
                                                              LinkAcceptor& acceptor,
                                                              Options options) {
  auto impl = std::make_unique<Impl>(executor, acceptor, std::move(options));
  POTLUCK_RETURN_IF_ERROR(impl->Listen());
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcServer::~GrpcServer() = default;

void GrpcServer::UseIdentity(TlsIdentity identity) { impl_->UseIdentity(std::move(identity)); }
const std::vector<std::string>& GrpcServer::addresses() const { return impl_->addresses(); }

}  // namespace potluck::wire
