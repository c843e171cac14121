// What a link of either side is made of: a queue of frames towards one gRPC call, and messages from
// it as tasks of the executor. gRPC's threads, the executor's and others meet here.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "common/executor.h"
#include "common/mutex.h"
#include "grpcpp/support/byte_buffer.h"
#include "wire/grpc/codec.h"
#include "wire/link.h"
#include "wire/traffic.h"

namespace potluck::wire {

// A gRPC call under a stream. It owns itself until gRPC is done with it.
class Call {
 public:
  virtual ~Call() = default;
  virtual void Opened() = 0;  // before the first read and write
  virtual void Read() = 0;    // one at a time
  virtual void Write(EncodedFrame frame) = 0;
  virtual void WritesDone() = 0;  // nothing is to be written any more
  virtual void Finish() = 0;      // nothing is to be started any more
  virtual void Cancel() = 0;      // at any time
  virtual bool dialled() const = 0;
};

// Thread-safe where not said otherwise.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  // `reader`: a fresh one, for what the peer sends. `sent`: where bytes are counted.
  Stream(Executor& executor, PeerIdentity peer, MessageReader reader,
         std::shared_ptr<TrafficMeter::Count> sent)
      : executor_(executor),
        worker_(peer.worker),
        sent_(std::move(sent)),
        peer_(std::move(peer)),
        reader_(std::move(reader)) {}

  // ---- on the executor ----
  void SetHandler(LinkHandler* handler) { handler_ = handler; }
  const PeerIdentity& peer() const { return peer_; }
  void SetAddress(std::string address) { peer_.address = std::move(address); }
  bool Send(Message message);
  void Close(const absl::Status& why);
  // What to do when the next call ends before it is up; without it, that ends the stream.
  using RetryTask = absl::AnyInvocable<void(const absl::Status&)>;
  void SetRetry(RetryTask retry);
  // Ends a stream that has no call, as if its call had failed.
  void Fail(const absl::Status& why);

  // ---- from a call ----
  void Begin(Call* call);  // before anything else of that call
  // The peer has taken the stream (or not, then the call is over): frames may flow.
  void Up(bool ok);
  void ReadDone(bool ok, grpc::ByteBuffer bytes);
  void WriteDone(bool ok);
  void CallDone(const absl::Status& status);

  // ---- from anywhere ----
  const WorkerId& worker() const { return worker_; }  // the peer
  // Ends the call at once; OnClosed comes with the call's end.
  void Abort();
  // Ends a call that the peer has not taken yet, so that another may be tried.
  void CancelUnlessUp();
  bool closing();

 private:
  // A message that waits for the executor holds memory: beyond this the peer is not read.
  static constexpr int64_t kMostUndeliveredBytes = int64_t{8} << 20;
  // How long a goodbye may take, until the peer has let the call end.
  static constexpr absl::Duration kLinger = absl::Seconds(5);

  void TakeFrame(grpc::ByteBuffer bytes);
  // Has the handler called, for the last time.
  void PostClosed(absl::Status why);
  void Delivered(int64_t bytes);
  // Queues the goodbye, and ends the call once kLinger is over.
  void CloseLocked(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReadOn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts the next write, or ends the call, if it is time; lets go of the lock to do so.
  void Advance() ABSL_LOCKS_EXCLUDED(mutex_);
  bool Over() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Executor& executor_;
  const WorkerId worker_;
  const std::shared_ptr<TrafficMeter::Count> sent_;
  PeerIdentity peer_;                    // on the executor
  LinkHandler* handler_ = nullptr;       // on the executor
  std::optional<MessageReader> reader_;  // of whoever is taking_; none once deaf_
  int64_t frame_bytes_ = 0;              // of the message that is being read

  Mutex mutex_;
  RetryTask retry_ ABSL_GUARDED_BY(mutex_);
  Call* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::deque<EncodedFrame> queue_ ABSL_GUARDED_BY(mutex_);
  int64_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // with what is being written
  int64_t writing_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t undelivered_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool told_full_ ABSL_GUARDED_BY(mutex_) = false;
  bool up_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool taking_ ABSL_GUARDED_BY(mutex_) = false;  // one frame at a time
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;  // goodbye is the queue's last
  bool goodbye_written_ ABSL_GUARDED_BY(mutex_) = false;
  bool goodbye_received_ ABSL_GUARDED_BY(mutex_) = false;
  bool deaf_ ABSL_GUARDED_BY(mutex_) = false;  // what still comes is not looked at
  bool read_ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;
};

// The executor's end of a stream.
class StreamLink final : public Link {
 public:
  explicit StreamLink(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  ~StreamLink() override { Close(absl::UnavailableError("the peer has closed the link")); }

  bool Send(Message message) override { return stream_->Send(std::move(message)); }
  void Close(absl::Status why) override {
    stream_->SetHandler(nullptr);
    stream_->Close(why);
  }
  const PeerIdentity& peer() const override { return stream_->peer(); }

 private:
  const std::shared_ptr<Stream> stream_;
};

}  // namespace potluck::wire
