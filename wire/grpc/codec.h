// Messages to the bytes of Frames (proto/potluck/v1/cluster.proto) and back. Bytes from peers are
// taken for hostile: every field has its bound, and nothing is allocated on the word of a length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wire/link.h"
#include "wire/messages.h"

namespace potluck::v1 {
class Frame;
}

namespace potluck::wire {

// No frame is longer.
inline constexpr size_t kMaxFrameBytes = (size_t{1} << 20) + (size_t{64} << 10);
// A message's bulk (hidden rows, a manifest) is cut into parts of at most so much.
inline constexpr size_t kMaxBulkPartBytes = size_t{1} << 20;
inline constexpr size_t kMaxBulkBytes = size_t{64} << 20;

// The bytes of a Frame: `head`, then `bulk`, which stays where the message had it and is owned by
// `owner`.
struct EncodedFrame {
  std::string head;
  std::string_view bulk;
  std::shared_ptr<const void> owner;

  size_t size_bytes() const { return head.size() + bulk.size(); }
};

// One frame, or several where the bulk is large. ResourceExhausted for a message that no peer would
// take. Texts lose control characters and what is not UTF-8.
absl::StatusOr<std::vector<EncodedFrame>> EncodeMessage(Message message);
EncodedFrame EncodeGoodbye(const absl::Status& why);

// The status of a frame that says goodbye, InvalidArgument if it is none; nothing if the frame does
// not say goodbye.
std::optional<absl::Status> DecodeGoodbye(const v1::Frame& frame);

// Puts the frames together that the peer sends on a link. A bulk that comes in parts is held until
// it is whole, so only what such a link has to carry may come so; and nothing may from a peer that
// has dialled and not said hello. After an error it is not to be used again.
class MessageReader {
 public:
  MessageReader(LinkKind kind, bool dialled);  // by this side

  // The message that this frame completes; nothing if more frames are needed, or if the message is
  // of a later version. InvalidArgument names the field.
  absl::StatusOr<std::optional<Message>> Take(v1::Frame frame);

 private:
  absl::Status Begin(const v1::Frame& frame);
  absl::Status CheckParts(size_t total_bytes) const;
  void AppendBulk(std::string part);

  size_t most_in_parts_;
  bool greeted_;
  std::optional<Message> message_;  // that waits for the rest of its bulk; none: it is skipped
  std::vector<float> hidden_;
  std::string bytes_;
  size_t received_bytes_ = 0, missing_bytes_ = 0;  // of the bulk
};

}  // namespace potluck::wire
