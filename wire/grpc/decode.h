// Frames to messages, without their bulk: the half of codec.h that reads fields.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "wire/messages.h"

namespace potluck::v1 {
class Frame;
class Status;
}  // namespace potluck::v1

namespace potluck::wire {

// Nothing for a message of a later version. The bulk is the reader's.
absl::StatusOr<std::optional<Message>> DecodeFields(const v1::Frame& frame);
// InvalidArgument for one that is none.
absl::Status DecodeStatus(const v1::Status& status);

}  // namespace potluck::wire
