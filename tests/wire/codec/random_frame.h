// Frames with every field set, to random values that the codec must take.
#pragma once

#include <functional>
#include <random>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "potluck/v1/cluster.pb.h"

namespace potluck::wire {

// The kinds of messages that a frame may carry, goodbye left out.
std::vector<const google::protobuf::FieldDescriptor*> MessageKinds();
v1::Frame RandomFrame(const google::protobuf::FieldDescriptor* kind, std::mt19937& random);

// Calls `visit` for every field of the frame's message that is set, at every depth, with the
// message that has it; always in the same order.
using Visit =
    std::function<void(google::protobuf::Message&, const google::protobuf::FieldDescriptor*)>;
void ForEachField(v1::Frame& frame, const Visit& visit);

}  // namespace potluck::wire
