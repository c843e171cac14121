// Frames joined to messages: see codec.h.
#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "potluck/v1/cluster.pb.h"
#include "wire/grpc/codec.h"
#include "wire/grpc/decode.h"
#include "wire/grpc/field_bounds.h"

namespace potluck::wire {
namespace {

// At once where the frame says how much will follow; more only as it comes.
constexpr size_t kMaxReservedBytes = size_t{4} << 20;

absl::Status BulkError(size_t bytes) {
  return absl::InvalidArgumentError(
      absl::StrCat("the peer has sent a message with ", bytes, " bytes that do not belong to it"));
}

bool HasHiddenRows(const Message& message) {
  return std::visit(
      [](const auto& in) {
        return requires { in.hidden; };
      },
      message);
}

// Whether a message may come with so many bytes beside it.
absl::Status CheckBulk(const Message& message, const v1::Frame& frame, size_t bytes) {
  bool good = bytes == 0;
  if (std::holds_alternative<StageFrame>(message)) {
    const v1::StageFrame& step = frame.stage_frame();
    // Neither factor is large enough for an overflow: DecodeFields has bounded both.
    const auto hidden_bytes = static_cast<size_t>(step.tokens_size()) *
                              static_cast<size_t>(step.hidden_width()) * sizeof(float);
    good = bytes == hidden_bytes && bytes <= kMaxBulkBytes;
  } else if (std::holds_alternative<StepResult>(message)) {
    good = bytes % sizeof(float) == 0 && bytes <= kMaxBulkBytes;
  } else if (std::holds_alternative<Ping>(message)) {
    good = bytes <= kMaxPingBytes;
  } else if (std::holds_alternative<ManifestReply>(message)) {
    good = bytes <= kMaxManifestBytes;
  } else if (std::holds_alternative<ChunkPiece>(message)) {
    good = bytes <= kMaxPieceBytes;
  }
  return good ? absl::OkStatus() : BulkError(bytes);
}

// Of a message in parts. Steps, and pings that measure, go both ways over a data link; manifests
// come from whoever was dialled for them, and their chunks in pieces of a frame each.
size_t MostInParts(LinkKind kind, bool dialled) {
  if (kind == LinkKind::kData) return kMaxBulkBytes;
  return kind == LinkKind::kWeights && dialled ? kMaxManifestBytes : 0;
}

bool IsHello(const Message& message) {
  return std::holds_alternative<WorkerHello>(message) ||
         std::holds_alternative<DataHello>(message) ||
         std::holds_alternative<WeightsHello>(message);
}

}  // namespace

std::optional<absl::Status> DecodeGoodbye(const v1::Frame& frame) {
  if (!frame.has_goodbye()) return std::nullopt;
  return DecodeStatus(frame.goodbye());
}

MessageReader::MessageReader(LinkKind kind, bool dialled)
    : most_in_parts_(MostInParts(kind, dialled)), greeted_(dialled) {}

absl::Status MessageReader::CheckParts(size_t total_bytes) const {
  const size_t most = greeted_ ? most_in_parts_ : 0;
  if (total_bytes <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the peer has sent a message of ", total_bytes,
                                                 " bytes in parts, where it may send ", most));
}

absl::Status MessageReader::Begin(const v1::Frame& frame) {
  POTLUCK_ASSIGN_OR_RETURN(message_, DecodeFields(frame));
  const size_t part_bytes = frame.bulk().size();
  if (frame.bulk_following_bytes() > kMaxBulkBytes) return BulkError(frame.bulk_following_bytes());
  const size_t total_bytes = part_bytes + frame.bulk_following_bytes();
  if (message_) {
    POTLUCK_RETURN_IF_ERROR(CheckBulk(*message_, frame, total_bytes));
    if (total_bytes > part_bytes) POTLUCK_RETURN_IF_ERROR(CheckParts(total_bytes));
  }
  received_bytes_ = 0;
  missing_bytes_ = total_bytes;
  hidden_.clear();
  bytes_.clear();
  if (message_ && HasHiddenRows(*message_)) {
    hidden_.reserve(std::min(total_bytes, kMaxReservedBytes) / sizeof(float));
  }
  return absl::OkStatus();
}

void MessageReader::AppendBulk(std::string part) {
  const size_t end = received_bytes_ + part.size();
  if (message_ && HasHiddenRows(*message_)) {
    hidden_.resize((end + sizeof(float) - 1) / sizeof(float));
    if (!part.empty()) {
      std::memcpy(reinterpret_cast<char*>(hidden_.data()) + received_bytes_, part.data(),
                  part.size());
    }
  } else if (message_ && bytes_.empty()) {
    bytes_ = std::move(part);
  } else if (message_) {
    bytes_ += part;
  }
  missing_bytes_ -= end - received_bytes_;
  received_bytes_ = end;
}

absl::StatusOr<std::optional<Message>> MessageReader::Take(v1::Frame frame) {
  if (missing_bytes_ == 0) {
    POTLUCK_RETURN_IF_ERROR(Begin(frame));
  } else if (frame.message_case() != v1::Frame::MESSAGE_NOT_SET || frame.bulk().empty() ||
             frame.bulk().size() > missing_bytes_ ||
             frame.bulk_following_bytes() != missing_bytes_ - frame.bulk().size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the peer has sent something else before the last ", missing_bytes_,
                     " bytes of a message"));
  }
  AppendBulk(std::move(*frame.mutable_bulk()));
  if (missing_bytes_ > 0 || !message_) return std::optional<Message>();

  greeted_ = greeted_ || IsHello(*message_);
  std::visit(
      [this](auto& out) {
        if constexpr (requires { out.hidden; }) out.hidden = std::move(hidden_);
        if constexpr (requires { out.bytes; }) out.bytes = std::move(bytes_);
      },
      *message_);
  return std::exchange(message_, std::nullopt);
}

}  // namespace potluck::wire
