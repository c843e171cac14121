#include "wire/grpc/frame_buffer.h"

#include <memory>
#include <string>
#include <utility>

#include "grpcpp/support/slice.h"

namespace potluck::wire {
namespace {

// Below this a copy costs less than a slice of its own.
constexpr size_t kCopiedBytes = size_t{32} << 10;

}  // namespace

grpc::ByteBuffer ToByteBuffer(EncodedFrame frame) {
  if (frame.bulk.size() <= kCopiedBytes) {
    frame.head += frame.bulk;
    const grpc::Slice slice(frame.head);
    return grpc::ByteBuffer(&slice, 1);
  }
  auto owner = std::make_unique<std::shared_ptr<const void>>(std::move(frame.owner));
  // gRPC only reads from it.
  void* const bytes = const_cast<char*>(frame.bulk.data());
  const grpc::Slice slices[] = {
      grpc::Slice(frame.head),
      grpc::Slice(
          bytes, frame.bulk.size(),
          [](void* kept) { delete static_cast<std::shared_ptr<const void>*>(kept); },
          owner.release()),
  };
  return grpc::ByteBuffer(slices, 2);
}

}  // namespace potluck::wire
