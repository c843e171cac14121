// Any bytes as the frames of one stream: two bytes of length, then a frame, and so on. What is a
// message can be sent on, and is then read again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "google/protobuf/stubs/logging.h"
#include "potluck/v1/cluster.pb.h"
#include "wire/grpc/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace wire = potluck::wire;
  static const bool silent = [] {
    google::protobuf::SetLogHandler(nullptr);
    return true;
  }();
  static_cast<void>(silent);
  // As from one that was dialled for weights: it may send as much as any.
  wire::MessageReader reader(wire::LinkKind::kWeights, /*dialled=*/true);
  while (size >= 2) {
    const size_t length = std::min<size_t>(size - 2, data[0] | data[1] << 8);
    potluck::v1::Frame frame;
    const bool parsed = frame.ParseFromArray(data + 2, static_cast<int>(length));
    data += 2 + length;
    size -= 2 + length;
    if (!parsed) return 0;
    if (wire::DecodeGoodbye(frame)) return 0;
    auto message = reader.Take(std::move(frame));
    if (!message.ok()) return 0;
    if (!message->has_value()) continue;

    const auto encoded = wire::EncodeMessage(**std::move(message));
    if (!encoded.ok()) std::abort();
    wire::MessageReader again(wire::LinkKind::kWeights, /*dialled=*/true);
    for (const wire::EncodedFrame& part : *encoded) {
      potluck::v1::Frame own;
      if (!own.ParseFromString(part.head + std::string(part.bulk))) std::abort();
      if (!again.Take(std::move(own)).ok()) std::abort();
    }
  }
  return 0;
}
