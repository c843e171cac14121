// Frames as gRPC takes them.
#pragma once

#include "grpcpp/support/byte_buffer.h"
#include "wire/grpc/codec.h"

namespace potluck::wire {

// The bulk is not copied, but kept alive until gRPC has sent it.
grpc::ByteBuffer ToByteBuffer(EncodedFrame frame);

}  // namespace potluck::wire
