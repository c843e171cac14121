#include "wire/grpc/grpc_server.h"

#include <chrono>
#include <set>
#include <utility>

#include "common/mutex.h"
#include "common/status_macros.h"
#include "grpcpp/server_context.h"
#include "potluck/v1/cluster.grpc.pb.h"
#include "wire/grpc/credentials.h"
#include "wire/grpc/frame_buffer.h"
#include "wire/grpc/live_calls.h"
#include "wire/grpc/status_codes.h"
#include "wire/grpc/stream.h"
#include "wire/version.h"

namespace potluck::wire {
namespace {

constexpr std::chrono::milliseconds kGoodbyeTime(500);
constexpr size_t kMostJoins = 64;  // at the same time

using StreamReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// Where a connection comes from, without gRPC's prefix: "10.0.0.2:40112", "[::1]:40112".
std::string AddressOf(const grpc::CallbackServerContext& context) {
  std::string peer = context.peer();
  const size_t colon = peer.find(':');
  if (colon != std::string::npos) peer.erase(0, colon + 1);
  for (const auto& [escaped, plain] : {std::pair("%5B", "["), std::pair("%5D", "]")}) {
    const size_t at = peer.find(escaped);
    if (at != std::string::npos) peer.replace(at, 3, plain);
  }
  return peer;
}

class AcceptedCall final : public Call, public StreamReactor {
 public:
  // Deletes itself when it is over.
  AcceptedCall(grpc::CallbackServerContext& context, std::shared_ptr<Stream> stream,
               std::shared_ptr<LiveCalls> calls)
      : context_(context), stream_(std::move(stream)), calls_(std::move(calls)) {
    stream_->Begin(this);
  }

  void Opened() override { StartSendInitialMetadata(); }
  void Read() override { StartRead(&incoming_); }
  void Write(EncodedFrame frame) override {
    outgoing_ = ToByteBuffer(std::move(frame));
    StartWrite(&outgoing_);
  }
  void WritesDone() override {}
  void Finish() override { StreamReactor::Finish(grpc::Status::OK); }
  void Cancel() override { context_.TryCancel(); }
  bool dialled() const override { return false; }

 private:
  void OnReadDone(bool ok) override { stream_->ReadDone(ok, std::exchange(incoming_, {})); }
  void OnWriteDone(bool ok) override {
    outgoing_.Clear();
    stream_->WriteDone(ok);
  }
  void OnCancel() override { stream_->Abort(); }
  void OnDone() override {
    const std::shared_ptr<LiveCalls> calls = std::move(calls_);
    const std::shared_ptr<Stream> stream = std::move(stream_);
    stream->CallDone(absl::OkStatus());
    delete this;
    calls->Remove(stream);
  }

  grpc::CallbackServerContext& context_;
  std::shared_ptr<Stream> stream_;
  std::shared_ptr<LiveCalls> calls_;
  grpc::ByteBuffer incoming_, outgoing_;
};

// A stream that is turned away.
class RefusedCall final : public StreamReactor {
 public:
  explicit RefusedCall(const absl::Status& why) { Finish(ToGrpc(why)); }

 private:
  void OnDone() override { delete this; }
};

// The answer to Join, given once. On the executor.
class JoinAnswer {
 public:
  JoinAnswer(grpc::ServerUnaryReactor* reactor, v1::JoinReply* reply)
      : reactor_(reactor), reply_(reply) {}

  void Give(const absl::StatusOr<std::string>& certificate) {
    if (reactor_ == nullptr) return;
    reply_->mutable_version()->set_major(kProtocolMajor);
    reply_->mutable_version()->set_minor(kProtocolMinor);
    if (certificate.ok()) reply_->set_certificate(*certificate);
    std::exchange(reactor_, nullptr)->Finish(ToGrpc(certificate.status()));
  }

 private:
  grpc::ServerUnaryReactor* reactor_;
  v1::JoinReply* reply_;
};

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(Executor& executor, LinkAcceptor& acceptor, Options options)
      : executor_(executor),
        acceptor_(acceptor),
        options_(std::move(options)),
        identity_(std::make_shared<ServerIdentity>(options_.identity)) {}

  ~Impl() {
    if (!listening_.server) return;
    *alive_ = false;
    EndJoins();
    calls_->EndAll(std::chrono::steady_clock::now() + kGoodbyeTime);
    listening_.server->Shutdown(std::chrono::system_clock::time_point());
  }

  absl::Status Listen() {
    POTLUCK_ASSIGN_OR_RETURN(listening_,
                             StartServer(identity_, options_.addresses, {&cluster_, &stage_}));
    return absl::OkStatus();
  }

  void UseIdentity(TlsIdentity identity) { identity_->Replace(std::move(identity)); }

  const std::vector<std::string>& addresses() const { return listening_.addresses; }

 private:
  // The services only lead here. Control and Weights take bytes, as DialledCall sends them.
  class ClusterService final
      : public v1::Cluster::WithRawCallbackMethod_Control<
            v1::Cluster::WithRawCallbackMethod_Weights<
                v1::Cluster::WithCallbackMethod_Join<v1::Cluster::Service>>> {
   public:
    explicit ClusterService(Impl& server) : server_(server) {}
    StreamReactor* Control(grpc::CallbackServerContext* context) override {
      return server_.Accept(*context, LinkKind::kControl);
    }
    StreamReactor* Weights(grpc::CallbackServerContext* context) override {
      return server_.Accept(*context, LinkKind::kWeights);
    }
    grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context,
                                   const v1::JoinRequest* request, v1::JoinReply* reply) override {
      return server_.Join(*context, *request, *reply);
    }

   private:
    Impl& server_;
  };
  class StageService final : public v1::Stage::WithRawCallbackMethod_Data<v1::Stage::Service> {
   public:
    explicit StageService(Impl& server) : server_(server) {}
    StreamReactor* Data(grpc::CallbackServerContext* context) override {
      return server_.Accept(*context, LinkKind::kData);
    }

   private:
    Impl& server_;
  };

  // On gRPC's threads.
  StreamReactor* Accept(grpc::CallbackServerContext& context, LinkKind kind) {
    PeerIdentity peer{ProvedMember(*context.auth_context()), AddressOf(context)};
    if (peer.worker.empty()) {
      return new RefusedCall(absl::UnauthenticatedError(
          "this takes a certificate of the cluster: use 'potluck join' first"));
    }
    auto stream = std::make_shared<Stream>(executor_, std::move(peer),
                                           MessageReader(kind, /*dialled=*/false));
    if (!calls_->Add(stream))
      return new RefusedCall(absl::ResourceExhaustedError("there are too many links to this peer"));
    auto* call = new AcceptedCall(context, stream, calls_);
    executor_.Post([this, alive = alive_, stream = std::move(stream), kind] {
      if (*alive) GiveLink(stream, kind);
    });
    return call;
  }

  // As a task.
  void GiveLink(const std::shared_ptr<Stream>& stream, LinkKind kind) {
    LinkHandler& handler = acceptor_.OnLink(kind, std::make_unique<StreamLink>(stream));
    if (!stream->closing()) stream->SetHandler(&handler);
    stream->Up(true);
  }

  // On gRPC's threads.
  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext& context,
                                 const v1::JoinRequest& request, v1::JoinReply& reply) {
    JoinAttempt attempt;
    attempt.version = {request.version().major(), request.version().minor(),
                       request.version().build()};
    attempt.certificate_request = request.certificate_request();
    attempt.proof = request.proof();
    attempt.name = request.name();
    attempt.address = AddressOf(context);
    attempt.proved = ProvedMember(*context.auth_context());
    grpc::ServerUnaryReactor* const reactor = context.DefaultReactor();
    const auto answer = std::make_shared<JoinAnswer>(reactor, &reply);
    {
      MutexLock lock(joins_mutex_);
      if (!ending_) joins_.insert(answer);
      if (ending_ || joins_.size() > kMostJoins) {
        joins_.erase(answer);
        answer->Give(absl::UnavailableError("too many machines want to join: try again"));
        return reactor;
      }
    }
    executor_.Post([this, alive = alive_, attempt = std::move(attempt), answer] {
      if (*alive) AnswerJoin(attempt, answer);
    });
    return reactor;
  }

  // As a task.
  void AnswerJoin(const JoinAttempt& attempt, const std::shared_ptr<JoinAnswer>& answer) {
    {
      MutexLock lock(joins_mutex_);
      joins_.erase(answer);
    }
    if (options_.join_desk == nullptr) {
      return answer->Give(absl::UnimplementedError(
          "this is a worker: join at the coordinator's address, which 'potluck up' printed"));
    }
    answer->Give(options_.join_desk->Admit(attempt));
  }

  // gRPC waits for all answers before it ends, and the executor's tasks may wait for us.
  void EndJoins() {
    std::set<std::shared_ptr<JoinAnswer>> joins;
    {
      MutexLock lock(joins_mutex_);
      ending_ = true;
      joins.swap(joins_);
    }
    for (const auto& answer : joins)
      answer->Give(absl::UnavailableError("the coordinator is ending"));
  }

  Executor& executor_;
  LinkAcceptor& acceptor_;
  const Options options_;
  const std::shared_ptr<ServerIdentity> identity_;
  const std::shared_ptr<LiveCalls> calls_ = std::make_shared<LiveCalls>();
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // on the executor
  Mutex joins_mutex_;
  bool ending_ ABSL_GUARDED_BY(joins_mutex_) = false;
  std::set<std::shared_ptr<JoinAnswer>> joins_ ABSL_GUARDED_BY(joins_mutex_);  // not given yet
  ClusterService cluster_{*this};
  StageService stage_{*this};
  ListeningServer listening_;
};

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(Executor& executor,
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
