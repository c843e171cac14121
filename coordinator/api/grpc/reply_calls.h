// Calls of people's programs over gRPC, as tasks see them: answered from any thread, until all is
// said or the client has gone. Each keeps itself alive until gRPC is done with it.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "common/executor.h"
#include "common/mutex.h"
#include "grpcpp/support/server_callback.h"
#include "wire/grpc/status_codes.h"

namespace potluck::coordinator {

// What answers may ask of a call, whichever kind it is. Thread-safe.
class ClientCall {
 public:
  explicit ClientCall(Executor& executor) : executor_(executor) {}

  // Whether the client went, or its deadline passed, before the answer has ended.
  bool gone() const {
    MutexLock lock(mutex_);
    return gone_;
  }
  // Kept until the call is over.
  void Hold(std::shared_ptr<const void> held) { held_ = std::move(held); }

  // Called in a task of the executor, once, if the client goes before the answer has ended.
  void OnGone(absl::AnyInvocable<void()> told) {
    {
      MutexLock lock(mutex_);
      if (!gone_) {
        told_ = std::move(told);
        return;
      }
    }
    executor_.Post(std::move(told));
  }

 protected:
  ~ClientCall() = default;
  void ClientIsGone() {
    absl::AnyInvocable<void()> told;
    {
      MutexLock lock(mutex_);
      gone_ = true;
      std::swap(told, told_);
    }
    if (told) executor_.Post(std::move(told));
  }

  Executor& executor_;
  mutable Mutex mutex_;

 private:
  std::shared_ptr<const void> held_;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
  absl::AnyInvocable<void()> told_ ABSL_GUARDED_BY(mutex_);
};

// A call with one reply.
template <class Reply>
class ReplyOnce final : public grpc::ServerUnaryReactor, public ClientCall {
 public:
  // `reply` is gRPC's.
  static std::shared_ptr<ReplyOnce> Make(Executor& executor, Reply* reply) {
    std::shared_ptr<ReplyOnce> call(new ReplyOnce(executor, reply));
    call->self_ = call;
    return call;
  }

  void Finish(absl::StatusOr<Reply> reply) {
    if (!TakeEnd()) return;
    if (reply.ok()) *reply_ = *std::move(reply);
    ServerUnaryReactor::Finish(wire::ToGrpc(reply.status()));
  }

 private:
  ReplyOnce(Executor& executor, Reply* reply) : ClientCall(executor), reply_(reply) {}

  bool TakeEnd() {
    MutexLock lock(mutex_);
    return !std::exchange(ended_, true);
  }
  void OnCancel() override {
    ClientIsGone();
    if (TakeEnd()) ServerUnaryReactor::Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { const std::shared_ptr<ReplyOnce> last = std::move(self_); }

  Reply* const reply_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<ReplyOnce> self_;
};

// A call with a stream of replies.
template <class Reply>
class ReplyStream final : public grpc::ServerWriteReactor<Reply>, public ClientCall {
 public:
  static std::shared_ptr<ReplyStream> Make(Executor& executor) {
    std::shared_ptr<ReplyStream> call(new ReplyStream(executor));
    call->self_ = call;
    return call;
  }

  // Nothing once the stream has ended.
  void Write(Reply reply) {
    {
      MutexLock lock(mutex_);
      if (ended_) return;
      queued_bytes_ += reply.ByteSizeLong();
      queue_.push_back(std::move(reply));
    }
    Advance();
  }
  // After what has been written.
  void Finish(const absl::Status& status) {
    {
      MutexLock lock(mutex_);
      if (std::exchange(ended_, true)) return;
      status_ = wire::ToGrpc(status);
    }
    Advance();
  }

  // Given to the stream and not yet to the network. Who lets this grow pays with memory.
  size_t queued_bytes() const {
    MutexLock lock(mutex_);
    return queued_bytes_;
  }
  // Called in a task of the executor, once, when the queue is empty; replaces one that still waits.
  void OnDrained(absl::AnyInvocable<void()> drained) {
    {
      MutexLock lock(mutex_);
      drained_ = std::move(drained);
    }
    TellIfDrained();
  }

 private:
  explicit ReplyStream(Executor& executor) : ClientCall(executor) {}

  // Starts what is next, with the lock let go of: gRPC may call back at once.
  void Advance() {
    const Reply* next = nullptr;
    {
      MutexLock lock(mutex_);
      if (writing_ || finished_) return;
      if (!queue_.empty()) {
        writing_ = true;
        next = &queue_.front();
      } else if (ended_) {
        finished_ = true;
      } else {
        return;
      }
    }
    if (next != nullptr) {
      this->StartWrite(next);
    } else {
      grpc::ServerWriteReactor<Reply>::Finish(status_);
    }
  }
  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      queued_bytes_ -= queue_.front().ByteSizeLong();
      queue_.pop_front();
      if (!ok) EndLocked();
    }
    TellIfDrained();
    Advance();
  }
  void OnCancel() override {
    {
      MutexLock lock(mutex_);
      EndLocked();
    }
    ClientIsGone();
    Advance();
  }
  void OnDone() override { const std::shared_ptr<ReplyStream> last = std::move(self_); }

  // Nobody reads any more.
  void EndLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    while (queue_.size() > (writing_ ? 1U : 0U)) {
      queued_bytes_ -= queue_.back().ByteSizeLong();
      queue_.pop_back();
    }
    drained_ = nullptr;
    if (!std::exchange(ended_, true)) status_ = grpc::Status::CANCELLED;
  }
  void TellIfDrained() {
    absl::AnyInvocable<void()> drained;
    {
      MutexLock lock(mutex_);
      if (queued_bytes_ == 0) std::swap(drained, drained_);
    }
    if (drained) executor_.Post(std::move(drained));
  }

  std::deque<Reply> queue_ ABSL_GUARDED_BY(mutex_);  // the first one is being written
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;     // nothing more is to be written
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // gRPC has been told
  grpc::Status status_;                            // once ended
  absl::AnyInvocable<void()> drained_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<ReplyStream> self_;
};

}  // namespace potluck::coordinator
