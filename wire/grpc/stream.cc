#include "wire/grpc/stream.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "potluck/v1/cluster.pb.h"

namespace potluck::wire {

bool Stream::Send(Message message) {
  absl::StatusOr<std::vector<EncodedFrame>> frames = EncodeMessage(std::move(message));
  absl::Status error = frames.status();
  bool writable = true;
  {
    MutexLock lock(mutex_);
    const bool ended = read_ended_ && (up_ || !retry_);  // else another call will carry it
    if (closing_ || ended || aborted_) return true;      // it goes nowhere, and holds up nobody
    if (error.ok()) {
      for (EncodedFrame& frame : *frames) {
        queued_bytes_ += static_cast<int64_t>(frame.size_bytes());
        queue_.push_back(std::move(frame));
      }
      if (queued_bytes_ > Link::kMostQueuedBytes) {
        error = absl::ResourceExhaustedError(
            absl::StrCat("the peer reads nothing while ", queued_bytes_, " bytes wait for it"));
      }
      writable = queued_bytes_ < Link::kHighWaterBytes;
      if (!writable) told_full_ = true;
    }
  }
  if (!error.ok()) {
    PostClosed(error);
    Abort();
    return false;
  }
  Advance();
  return writable;
}

void Stream::Close(const absl::Status& why) {
  {
    MutexLock lock(mutex_);
    if (closing_) return;
    CloseLocked(why);
  }
  Advance();
}

void Stream::CloseLocked(const absl::Status& why) {
  closing_ = deaf_ = true;
  if (!taking_) reader_.reset();  // with what it holds of a message
  told_full_ = false;
  queue_.push_back(EncodeGoodbye(why));
  queued_bytes_ += static_cast<int64_t>(queue_.back().size_bytes());
  executor_.PostAfter(kLinger, [stream = weak_from_this()] {
    if (const auto self = stream.lock()) self->Abort();
  });
}

void Stream::SetRetry(RetryTask retry) {
  RetryTask old;
  MutexLock lock(mutex_);
  old = std::exchange(retry_, std::move(retry));
}

void Stream::Fail(const absl::Status& why) {
  {
    MutexLock lock(mutex_);
    read_ended_ = true;
  }
  PostClosed(why);
}

void Stream::Begin(Call* call) {
  MutexLock lock(mutex_);
  call_ = call;
  read_ended_ = finished_ = false;
  if (aborted_) call->Cancel();
}

void Stream::Up(bool ok) {
  {
    MutexLock lock(mutex_);
    if (finished_) return;
    if (!ok || aborted_) {
      read_ended_ = true;
    } else {
      up_ = true;
      call_->Opened();
      ReadOn();
    }
  }
  Advance();
}

void Stream::ReadOn() {
  if (!up_ || reading_ || read_ended_ || finished_ ||
      (!deaf_ && undelivered_bytes_ > kMostUndeliveredBytes)) {
    return;
  }
  reading_ = true;
  call_->Read();
}

void Stream::ReadDone(bool ok, grpc::ByteBuffer bytes) {
  bool take;
  {
    MutexLock lock(mutex_);
    take = taking_ = ok && !deaf_;
  }
  if (take) TakeFrame(bytes);
  {
    MutexLock lock(mutex_);
    taking_ = false;
    if (deaf_) reader_.reset();
    reading_ = false;  // not before: frames are taken one at a time
    read_ended_ |= !ok;
    ReadOn();
  }
  Advance();
}

void Stream::TakeFrame(grpc::ByteBuffer bytes) {
  frame_bytes_ += static_cast<int64_t>(bytes.Length());
  v1::Frame frame;
  absl::Status error;
  grpc::ProtoBufferReader reader(&bytes);
  if (!reader.status().ok() || !frame.ParseFromZeroCopyStream(&reader)) {
    error = absl::InvalidArgumentError("the peer has sent what is no message");
  } else if (const auto goodbye = DecodeGoodbye(frame)) {
    {
      MutexLock lock(mutex_);
      goodbye_received_ = deaf_ = true;
    }
    return PostClosed(*goodbye);
  } else if (auto message = reader_->Take(std::move(frame)); !message.ok()) {
    error = message.status();
  } else if (message->has_value()) {
    const int64_t message_bytes = std::exchange(frame_bytes_, 0);
    {
      MutexLock lock(mutex_);
      undelivered_bytes_ += message_bytes;
    }
    executor_.Post(
        [self = shared_from_this(), message = *std::move(*message), message_bytes]() mutable {
          if (self->handler_) self->handler_->OnMessage(std::move(message));
          self->Delivered(message_bytes);
        });
  }
  if (error.ok()) return;
  PostClosed(error);
  MutexLock lock(mutex_);
  if (!closing_) CloseLocked(error);
}

void Stream::Delivered(int64_t bytes) {
  MutexLock lock(mutex_);
  undelivered_bytes_ -= bytes;
  ReadOn();
}

void Stream::PostClosed(absl::Status why) {
  executor_.Post([self = shared_from_this(), why = std::move(why)]() mutable {
    LinkHandler* handler = std::exchange(self->handler_, nullptr);
    if (handler) handler->OnClosed(std::move(why));
  });
}

void Stream::WriteDone(bool ok) {
  bool tell_writable = false;
  {
    MutexLock lock(mutex_);
    writing_ = false;
    if (ok) *sent_ += writing_bytes_;
    queued_bytes_ -= std::exchange(writing_bytes_, 0);
    if (!ok) {
      queue_.clear();
      queued_bytes_ = 0;
    } else if (closing_ && queue_.empty()) {
      goodbye_written_ = true;
      if (call_->dialled() && !finished_) call_->WritesDone();
    } else if (told_full_ && queued_bytes_ < Link::kLowWaterBytes) {
      told_full_ = false;
      tell_writable = true;
    }
  }
  if (tell_writable) {
    executor_.Post([self = shared_from_this()] {
      if (self->handler_) self->handler_->OnWritable();
    });
  }
  Advance();
}

// An accepted stream ends with a goodbye of either side; a dialled one when the other has ended it.
bool Stream::Over() const {
  return read_ended_ || (!call_->dialled() && (goodbye_received_ || goodbye_written_));
}

void Stream::Advance() {
  Call* call = nullptr;
  std::optional<EncodedFrame> frame;
  {
    MutexLock lock(mutex_);
    if (call_ == nullptr || writing_ || finished_) return;
    call = call_;  // it stays while writing_, and until it is finished
    if (Over()) {
      finished_ = true;
    } else if (up_ && !queue_.empty()) {
      writing_ = true;
      frame = std::move(queue_.front());
      queue_.pop_front();
      writing_bytes_ = static_cast<int64_t>(frame->size_bytes());
    } else {
      return;
    }
  }
  if (frame) {
    call->Write(*std::move(frame));
  } else {
    call->Finish();
  }
}

void Stream::CallDone(const absl::Status& status) {
  RetryTask retry;
  bool again;
  {
    MutexLock lock(mutex_);
    call_ = nullptr;
    retry = std::exchange(retry_, nullptr);
    again = retry && !up_ && !aborted_;
    finished_ = true;
    read_ended_ = !again;
  }
  if (again) {
    executor_.Post(
        [self = shared_from_this(), retry = std::move(retry), status]() mutable { retry(status); });
    return;
  }
  PostClosed(status.ok() ? absl::UnavailableError("the connection to the peer broke") : status);
}

void Stream::Abort() {
  {
    MutexLock lock(mutex_);
    aborted_ = true;
    if (call_ == nullptr) return;
    call_->Cancel();
    // Where nothing is being read, no read tells that it is over.
    if (!reading_ && (up_ || !call_->dialled())) read_ended_ = true;
  }
  Advance();
}

void Stream::CancelUnlessUp() {
  MutexLock lock(mutex_);
  if (call_ && !up_) call_->Cancel();
}

bool Stream::closing() {
  MutexLock lock(mutex_);
  return closing_ || goodbye_received_;
}

}  // namespace potluck::wire
