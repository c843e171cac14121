#include "worker/weights/source.h"

#include <iterator>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "model/store/manifest.h"

namespace potluck::worker {

Source::Source(const WeightsSurroundings& around, wire::Peer peer, absl::Duration stall_time,
               uint64_t seed, SourceEvents& events)
    : around_(around),
      peer_(std::move(peer)),
      stall_time_(stall_time),
      events_(events),
      back_off_(seed),
      stall_timer_(around.executor),
      redial_timer_(around.executor) {
  Dial();
}

Source::~Source() = default;

void Source::Dial() {
  closed_.reset();
  link_ = around_.transport.Dial(peer_.worker, peer_.addresses, wire::LinkKind::kWeights, *this);
  wire::WeightsHello hello;
  hello.version = around_.version;
  hello.from = around_.self;
  link_->Send(std::move(hello));
}

void Source::AskForManifest(const Sha256Digest& address) {
  Ask({.is_manifest = true, .digest = address, .bytes = {}},
      wire::ManifestRequest{.manifest = address.bytes});
}

void Source::AskForChunk(const Sha256Digest& blob, uint64_t index, uint64_t size_bytes) {
  Ask({.digest = blob, .index = index, .size_bytes = size_bytes, .bytes = {}},
      wire::ChunkRequest{.blob = blob.bytes, .index = static_cast<int64_t>(index)});
}

void Source::Ask(Request request, wire::Message message) {
  requests_.push_back(std::move(request));
  if (requests_.size() == 1) RestartStallTimer();
  link_->Send(std::move(message));
}

void Source::RestartStallTimer() {
  if (requests_.empty()) {
    stall_timer_.Cancel();
    return;
  }
  stall_timer_.Start(stall_time_, [this] {
    Drop(absl::DeadlineExceededError(
        absl::StrCat("sent nothing for ", absl::FormatDuration(stall_time_))));
  });
}

void Source::OnMessage(wire::Message message) {
  if (link_ == nullptr) return;
  absl::Status status = absl::InvalidArgumentError(
      absl::StrCat("message ", message.index(), " does not belong on a weights link"));
  if (auto* manifest = std::get_if<wire::ManifestReply>(&message)) {
    status = Take(std::move(*manifest));
  } else if (auto* piece = std::get_if<wire::ChunkPiece>(&message)) {
    status = Take(std::move(*piece));
  }
  if (!status.ok()) Drop(status);
}

absl::Status Source::Take(wire::ManifestReply reply) {
  if (requests_.empty() || !requests_.front().is_manifest ||
      requests_.front().digest.bytes != reply.manifest ||
      reply.bytes.size() > model::kMaxManifestBytes) {
    return absl::InvalidArgumentError("a manifest came that nobody had asked for");
  }
  if (!reply.status.ok()) lacks_.insert(requests_.front().digest);
  requests_.pop_front();
  RestartStallTimer();
  events_.OnManifest(*this, std::move(reply));
  return absl::OkStatus();
}

absl::Status Source::Take(wire::ChunkPiece piece) {
  if (requests_.empty() || requests_.front().is_manifest ||
      requests_.front().digest.bytes != piece.blob ||
      piece.index != static_cast<int64_t>(requests_.front().index)) {
    return absl::InvalidArgumentError("a chunk came that nobody had asked for");
  }
  Request& request = requests_.front();
  if (piece.status.ok()) {
    const uint64_t now = request.bytes.size() + piece.bytes.size();
    if (piece.offset != static_cast<int64_t>(request.bytes.size()) || piece.bytes.empty() ||
        now > request.size_bytes || piece.last != (now == request.size_bytes)) {
      return absl::InvalidArgumentError(absl::StrCat("a chunk of ", request.size_bytes,
                                                     " bytes came in pieces that do not add up"));
    }
    request.bytes.append(piece.bytes);
  } else if (!absl::IsNotFound(piece.status)) {
    return absl::Status(piece.status.code(),
                        absl::StrCat("cannot read a chunk: ", piece.status.message()));
  }
  if (piece.status.ok() && !piece.last) {
    RestartStallTimer();
    return absl::OkStatus();
  }
  Request answered = std::move(request);
  requests_.pop_front();
  RestartStallTimer();
  if (piece.status.ok()) {
    redials_ = 0;
    back_off_.Reset();
    events_.OnChunk(*this, answered.digest, answered.index, std::move(answered.bytes));
  } else {
    lacks_.insert(answered.digest);
    events_.OnChunk(*this, answered.digest, answered.index, piece.status);
  }
  return absl::OkStatus();
}

void Source::Unanswer() {
  stall_timer_.Cancel();
  unanswered_.insert(unanswered_.end(), std::make_move_iterator(requests_.begin()),
                     std::make_move_iterator(requests_.end()));
  requests_.clear();
}

std::vector<Source::Request> Source::TakeUnanswered() { return std::exchange(unanswered_, {}); }

void Source::Drop(const absl::Status& why) {
  if (dropped()) return;
  why_dropped_ = why;
  redial_timer_.Cancel();
  if (link_ != nullptr) {
    link_->Close(why);
    closed_ = std::move(link_);
  }
  Unanswer();
  events_.OnChanged(*this);
}

void Source::OnClosed(absl::Status why) {
  closed_ = std::move(link_);
  trouble_ = why.ok() ? absl::UnavailableError("closed the link") : why;
  Unanswer();
  const bool may_pass = absl::IsUnavailable(trouble_) || absl::IsResourceExhausted(trouble_);
  if (may_pass && redials_++ < kMostRedials) {
    redial_timer_.Start(back_off_.Next(), [this] {
      Dial();
      events_.OnChanged(*this);
    });
  } else {
    why_dropped_ = trouble_;
  }
  events_.OnChanged(*this);
}

}  // namespace potluck::worker
