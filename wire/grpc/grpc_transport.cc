#include "wire/grpc/grpc_transport.h"

#include <atomic>
#include <chrono>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "common/thread_executor.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "wire/grpc/completion_poller.h"
#include "wire/grpc/credentials.h"
#include "wire/grpc/frame_buffer.h"
#include "wire/grpc/live_calls.h"
#include "wire/grpc/status_codes.h"
#include "wire/grpc/stream.h"
#include "wire/grpc/targets.h"

namespace potluck::wire {
namespace {

// From dialling an address until the peer has taken the stream.
constexpr absl::Duration kAttemptTimeout = absl::Seconds(10);
constexpr std::chrono::milliseconds kGoodbyeTime(500);

const char* MethodOf(LinkKind kind) {
  switch (kind) {
    case LinkKind::kControl:
      return "/potluck.v1.Cluster/Control";
    case LinkKind::kData:
      return "/potluck.v1.Stage/Data";
    case LinkKind::kWeights:
      break;
  }
  return "/potluck.v1.Cluster/Weights";
}

// Frames travel as bytes: what is no message is then ours to report.
class DialledCall final : public Call {
 public:
  // Deletes itself when it is over.
  DialledCall(Executor& executor, CompletionPoller& poller, std::shared_ptr<grpc::Channel> channel,
              std::shared_ptr<Stream> stream, std::shared_ptr<LiveCalls> calls, LinkKind kind)
      : executor_(executor),
        channel_(std::move(channel)),
        call_(grpc::GenericStub(channel_).PrepareCall(&context_, MethodOf(kind), &poller.queue())),
        stream_(std::move(stream)),
        calls_(std::move(calls)) {
    stream_->Begin(this);
    call_->StartCall(&started_);
  }

  void Opened() override {}
  void Read() override {
    ++pending_;
    call_->Read(&incoming_, &read_);
  }
  void Write(EncodedFrame frame) override {
    ++pending_;
    outgoing_ = ToByteBuffer(std::move(frame));
    call_->Write(outgoing_, &written_);
  }
  void WritesDone() override {
    ++pending_;
    call_->WritesDone(&writes_done_);
  }
  void Finish() override { call_->Finish(&status_, &finished_); }
  void Cancel() override { context_.TryCancel(); }
  bool dialled() const override { return true; }

 private:
  void OnStarted(bool ok) {
    if (!ok) return OnAnswered(false);
    call_->ReadInitialMetadata(&answered_);
  }
  void OnAnswered(bool ok) {
    stream_->Up(ok);
    Completed(ok);
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

  // To be the last of every operation.
  void Completed(bool /*ok*/) {
    if (--pending_ > 0) return;
    const std::shared_ptr<LiveCalls> calls = std::move(calls_);
    const std::shared_ptr<Stream> stream = std::move(stream_);
    Executor& executor = executor_;
    std::shared_ptr<grpc::Channel> channel = channel_;
    stream->CallDone(FromGrpc(status_));
    delete this;
    calls->Retire(std::move(channel));  // by then the only one
    executor.Post([calls] { calls->FreeRetired(); });
    calls->Remove(stream);
  }

  Executor& executor_;
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  std::shared_ptr<Stream> stream_;
  std::shared_ptr<LiveCalls> calls_;
  grpc::ByteBuffer incoming_, outgoing_;
  grpc::Status status_;
  // Operations that are not completed: the call's start, and its finish, which comes at any rate.
  std::atomic<int> pending_ = 2;
  CompletionOf<DialledCall> started_{this, &DialledCall::OnStarted},
      answered_{this, &DialledCall::OnAnswered}, read_{this, &DialledCall::OnRead},
      written_{this, &DialledCall::OnWritten}, writes_done_{this, &DialledCall::Completed},
      finished_{this, &DialledCall::Completed};
};

}  // namespace

// What dials need; they may end after the transport.
class GrpcTransport::Impl {
 public:
  Impl(ThreadExecutor& logic, TlsIdentity own)
      : executor(logic), identity(std::move(own)), poller(CompletionPoller::Of(logic)) {}

  Executor& executor;
  TlsIdentity identity;
  const std::shared_ptr<CompletionPoller> poller;
  const std::shared_ptr<LiveCalls> calls = std::make_shared<LiveCalls>();
  std::unique_ptr<ThreadExecutor> resolver;  // from the first name on

  class Dialling;
};

// One link on its way: tries address after address until a peer takes the stream.
class GrpcTransport::Impl::Dialling : public std::enable_shared_from_this<Dialling> {
 public:
  Dialling(std::weak_ptr<Impl> transport, std::shared_ptr<Stream> stream, WorkerId worker,
           const std::vector<std::string>& addresses, LinkKind kind)
      : transport_(std::move(transport)),
        stream_(std::move(stream)),
        worker_(std::move(worker)),
        kind_(kind),
        addresses_(addresses.begin(), addresses.end()) {}

  // Tries the next target, or fails with all that has gone wrong.
  void TryNext() {
    const std::shared_ptr<Impl> transport = transport_.lock();
    if (!transport) return stream_->Fail(absl::UnavailableError("this process is ending"));
    if (!targets_.empty()) {
      const std::string target = std::move(targets_.front());
      targets_.pop_front();
      return Try(*transport, target);
    }
    if (addresses_.empty()) {
      return stream_->Fail(absl::Status(
          code_, errors_.empty() ? absl::StrCat("there is no address of ", worker_) : errors_));
    }
    address_ = std::move(addresses_.front());
    addresses_.pop_front();
    const absl::StatusOr<Targets> targets = ParseTarget(address_);
    if (!targets.ok()) {
      Note(targets.status());
      return TryNext();
    }
    if (targets->needs_resolving) return Resolve(*transport);
    targets_.assign(targets->names.begin(), targets->names.end());
    TryNext();
  }

 private:
  void Note(const absl::Status& error) {
    code_ = error.code();
    absl::StrAppend(&errors_, errors_.empty() ? "" : "; ", Printable(address_), ": ",
                    error.message());
  }

  void Resolve(Impl& transport) {
    if (!transport.resolver) transport.resolver = std::make_unique<ThreadExecutor>("resolver");
    Executor& logic = transport.executor;
    transport.resolver->Post([self = shared_from_this(), address = address_, &logic] {
      auto targets = ResolveTarget(address);
      logic.Post([self, targets = std::move(targets)] {
        if (targets.ok()) {
          self->targets_.assign(targets->begin(), targets->end());
        } else {
          self->Note(targets.status());
        }
        self->TryNext();
      });
    });
  }

  void Try(Impl& transport, const std::string& target) {
    if (!transport.calls->Add(stream_))
      return stream_->Fail(absl::ResourceExhaustedError("this process has too many links"));
    stream_->SetAddress(address_);
    stream_->SetRetry(
        [self = shared_from_this()](const absl::Status& error) { self->Failed(error); });
    // Owns itself.
    new DialledCall(transport.executor, *transport.poller,
                    MakeChannel(transport.identity, worker_, target), stream_, transport.calls,
                    kind_);
    ++attempt_;
    timed_out_ = false;
    transport.executor.PostAfter(kAttemptTimeout, [weak = weak_from_this(), number = attempt_] {
      if (const auto self = weak.lock()) self->GiveUp(number);
    });
  }

  void Failed(const absl::Status& error) {
    // Who was meant is there and refuses; another address would not change it.
    if (!absl::IsUnavailable(error) && !absl::IsUnauthenticated(error)) return stream_->Fail(error);
    Note(timed_out_ ? absl::UnavailableError("no answer in time") : error);
    TryNext();
  }

  // The attempt has taken too long.
  void GiveUp(int attempt) {
    if (attempt != attempt_) return;
    timed_out_ = true;
    stream_->CancelUnlessUp();
  }

  const std::weak_ptr<Impl> transport_;
  const std::shared_ptr<Stream> stream_;
  const WorkerId worker_;
  const LinkKind kind_;
  std::deque<std::string> addresses_;  // still to be tried
  std::string address_;                // being tried
  std::deque<std::string> targets_;    // what it stands for, still to be tried
  std::string errors_;
  absl::StatusCode code_ = absl::StatusCode::kUnavailable;  // of the last error
  int attempt_ = 0;
  bool timed_out_ = false;  // this attempt
};

GrpcTransport::GrpcTransport(ThreadExecutor& executor, TlsIdentity identity,
                             std::shared_ptr<TrafficMeter> traffic)
    : traffic_(std::move(traffic)), impl_(std::make_shared<Impl>(executor, std::move(identity))) {}

GrpcTransport::~GrpcTransport() {
  impl_->resolver.reset();
  const PolledElsewhere polled(*impl_->poller);
  impl_->calls->EndAll(std::chrono::steady_clock::now() + kGoodbyeTime);
}

void GrpcTransport::UseIdentity(TlsIdentity identity) { impl_->identity = std::move(identity); }

std::unique_ptr<Link> GrpcTransport::Dial(const WorkerId& worker,
                                          const std::vector<std::string>& addresses, LinkKind kind,
                                          LinkHandler& handler) {
  auto stream = std::make_shared<Stream>(
      impl_->executor, PeerIdentity{worker, addresses.empty() ? "" : addresses.front()},
      MessageReader(kind, /*dialled=*/true), traffic_->SentTo(worker));
  stream->SetHandler(&handler);
  std::make_shared<Impl::Dialling>(impl_, stream, worker, addresses, kind)->TryNext();
  return std::make_unique<StreamLink>(std::move(stream));
}

}  // namespace potluck::wire
