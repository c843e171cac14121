#include "wire/grpc/codec.h"

#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/wire/codec/random_frame.h"
#include "wire/grpc/field_bounds.h"

namespace potluck::wire {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::util::MessageDifferencer;

// As from one that was dialled for weights: it may send as much as any.
MessageReader Reader() { return {LinkKind::kWeights, /*dialled=*/true}; }

absl::StatusOr<std::optional<Message>> Decode(const v1::Frame& frame) {
  MessageReader reader = Reader();
  return reader.Take(frame);
}

v1::Frame Parse(const EncodedFrame& encoded) {
  v1::Frame frame;
  EXPECT_TRUE(frame.ParseFromString(encoded.head + std::string(encoded.bulk)));
  return frame;
}

class CodecTest : public ::testing::TestWithParam<const FieldDescriptor*> {};

// Every field that a frame has is in the message, and in the frame that the message makes.
TEST_P(CodecTest, KeepsEveryField) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const v1::Frame frame = RandomFrame(GetParam(), random);
    auto message = Decode(frame);
    ASSERT_TRUE(message.ok()) << message.status() << "\n" << frame.DebugString();
    ASSERT_TRUE(message->has_value());
    const auto encoded = EncodeMessage(**std::move(message));
    ASSERT_TRUE(encoded.ok()) << encoded.status();
    ASSERT_EQ(encoded->size(), 1u);
    std::string difference;
    MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&difference);
    EXPECT_TRUE(differencer.Compare(frame, Parse(encoded->front()))) << "seed " << seed << "\n"
                                                                     << difference;
  }
}

// Makes a field wrong; false where every value of it is good, or where 0 is what leaves it out.
bool Spoil(google::protobuf::Message& message, const FieldDescriptor* field) {
  static const std::set<std::string> free_fields = {
      "potluck.v1.WorkerHello.process",      "potluck.v1.SamplingParams.seed",
      "potluck.v1.SamplingParams.top_k",     "potluck.v1.SamplingParams.repeat_window",
      "potluck.v1.DeviceProfile.Rate.dtype",  // of a later version: left out
  };
  if (free_fields.count(field->full_name()) > 0) return false;
  const auto& reflection = *message.GetReflection();
  if (field->is_repeated()) {
    static const std::map<std::string, int> bounds = {
        {"potluck.v1.Peer.addresses", kMaxAddresses},
        {"potluck.v1.WorkerHello.addresses", kMaxAddresses},
        {"potluck.v1.WorkerHello.devices", kMaxDevices},
        {"potluck.v1.DeviceProfile.rates", kMaxRates},
        {"potluck.v1.SamplingParams.logit_bias", kMaxLogitBiases},
        {"potluck.v1.Heartbeat.free_memory_bytes", kMaxDevices},
        {"potluck.v1.Heartbeat.held_memory_bytes", kMaxDevices},
        {"potluck.v1.Heartbeat.stages", kMaxStages},
        {"potluck.v1.Heartbeat.traffic", kMaxPeers},
        {"potluck.v1.Prepared.held", kMaxSequences},
        {"potluck.v1.Committed.held", kMaxSequences},
        {"potluck.v1.Prepare.sources", kMaxPeers},
        {"potluck.v1.KeepCopy.sources", kMaxPeers},
        {"potluck.v1.Commit.sequences", kMaxSequences},
        {"potluck.v1.StageFrame.tokens", kMaxStepTokens},
        {"potluck.v1.StageFrame.commands", kMaxCommands},
        {"potluck.v1.StageFrame.timings", kMaxStages},
        {"potluck.v1.StageFrame.replaying", kMaxStages},
        {"potluck.v1.StageCommand.Accept.path", kMaxStepTokens},
        {"potluck.v1.StepResult.tokens", kMaxStepTokens},
        {"potluck.v1.StepResult.timings", kMaxStages},
        {"potluck.v1.TokenResult.logprobs", kMaxLogprobs},
    };
    const auto bound = bounds.find(field->full_name());
    EXPECT_NE(bound, bounds.end()) << field->full_name() << " has no bound here";
    if (bound == bounds.end()) return false;
    while (reflection.FieldSize(message, field) <= bound->second) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        const auto& first = reflection.GetRepeatedMessage(message, field, 0);
        auto* added = reflection.AddMessage(&message, field);
        added->CopyFrom(first);
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
        reflection.AddString(&message, field, "a");
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT32) {
        reflection.AddInt32(&message, field, 1);
      } else {
        reflection.AddInt64(&message, field, 1);
      }
    }
    return true;
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      reflection.SetInt32(&message, field, -2);
      return true;
    case FieldDescriptor::CPPTYPE_INT64:
      reflection.SetInt64(&message, field, -1);
      return true;
    case FieldDescriptor::CPPTYPE_UINT32:
      reflection.SetUInt32(&message, field, 1u << 20);
      return true;
    case FieldDescriptor::CPPTYPE_FLOAT:
      reflection.SetFloat(&message, field, std::numeric_limits<float>::quiet_NaN());
      return true;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      reflection.SetDouble(&message, field, std::numeric_limits<double>::quiet_NaN());
      return true;
    case FieldDescriptor::CPPTYPE_ENUM:
      reflection.SetEnumValue(&message, field, 99);
      return true;
    case FieldDescriptor::CPPTYPE_STRING:
      reflection.SetString(&message, field, std::string(2 * kMaxGrammarBytes, 'a'));
      return true;
    default:
      return false;
  }
}

// Each field in its turn, at every depth, is out of its bounds while all others are good.
TEST_P(CodecTest, HoldsEveryFieldToItsBound) {
  std::mt19937 random(7);
  const v1::Frame good = RandomFrame(GetParam(), random);
  int count = 0;
  {
    v1::Frame copy = good;
    ForEachField(copy, [&](auto&, auto*) { ++count; });
  }
  for (int target = 0; target < count; ++target) {
    v1::Frame bad = good;
    int index = 0;
    std::string name;
    bool spoilt = false;
    ForEachField(bad, [&](google::protobuf::Message& message, const FieldDescriptor* field) {
      if (index++ != target) return;
      name = field->full_name();
      spoilt = Spoil(message, field);
    });
    if (!spoilt) continue;
    EXPECT_EQ(Decode(bad).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST_P(CodecTest, RefusesBytesThatDoNotBelong) {
  std::mt19937 random(7);
  v1::Frame frame = RandomFrame(GetParam(), random);
  const bool takes_any = frame.has_ping() || frame.has_manifest_reply() || frame.has_chunk_piece();
  if (takes_any) {
    frame.set_bulk_following_bytes(kMaxBulkBytes + 1);
  } else {
    frame.mutable_bulk()->push_back('x');
  }
  EXPECT_EQ(Decode(frame).status().code(), absl::StatusCode::kInvalidArgument);
}

// Bytes that were damaged on purpose: errors or messages, never more; and what passes can be sent
// on.
TEST_P(CodecTest, SurvivesDamagedBytes) {
  const google::protobuf::LogSilencer silencer;  // it would say each time that a text is no UTF-8
  std::mt19937 random(11);
  const std::string bytes = RandomFrame(GetParam(), random).SerializeAsString();
  for (int i = 0; i < 3000; ++i) {
    std::string bad = bytes;
    for (uint32_t n = 1 + random() % 4; n > 0 && !bad.empty(); --n)
      bad[random() % bad.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bad.resize(random() % (bad.size() + 1));
    v1::Frame frame;
    if (!frame.ParseFromString(bad)) continue;
    auto message = Decode(frame);
    if (!message.ok() || !message->has_value()) continue;
    const auto again = EncodeMessage(**std::move(message));
    ASSERT_TRUE(again.ok()) << again.status();
  }
}

std::string NameOfKind(const ::testing::TestParamInfo<const FieldDescriptor*>& kind) {
  return kind.param->camelcase_name();
}

INSTANTIATE_TEST_SUITE_P(Messages, CodecTest, ::testing::ValuesIn(MessageKinds()), NameOfKind);

TEST(MessageReaderTest, JoinsABulkOfManyFrames) {
  ManifestReply reply{.bytes = std::string(3 * kMaxBulkPartBytes + 5, 'm')};
  reply.bytes[2 * kMaxBulkPartBytes + 1] = 'x';
  const auto frames = EncodeMessage(reply);
  ASSERT_TRUE(frames.ok());
  ASSERT_EQ(frames->size(), 4u);
  MessageReader reader = Reader();
  for (size_t i = 0; i < frames->size(); ++i) {
    EXPECT_LE((*frames)[i].size_bytes(), kMaxFrameBytes);
    const auto message = reader.Take(Parse((*frames)[i]));
    ASSERT_TRUE(message.ok()) << message.status();
    ASSERT_EQ(message->has_value(), i == 3);
    if (i == 3) {
      EXPECT_EQ(std::get<ManifestReply>(**message).bytes, reply.bytes);
    }
  }
}

TEST(MessageReaderTest, NothingComesBetweenTheFramesOfABulk) {
  const auto frames =
      *EncodeMessage(ManifestReply{.bytes = std::string(2 * kMaxBulkPartBytes, 'm')});
  const auto second_after = [&](const v1::Frame& second) {
    MessageReader reader = Reader();
    EXPECT_TRUE(reader.Take(Parse(frames[0])).ok());
    return reader.Take(second).status().code();
  };
  EXPECT_EQ(second_after(Parse(frames[1])), absl::StatusCode::kOk);
  EXPECT_EQ(second_after(Parse(frames[0])), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(second_after(v1::Frame()), absl::StatusCode::kInvalidArgument);
  v1::Frame longer = Parse(frames[1]);
  longer.mutable_bulk()->push_back('x');
  EXPECT_EQ(second_after(longer), absl::StatusCode::kInvalidArgument);
  v1::Frame lying = Parse(frames[1]);
  lying.set_bulk_following_bytes(1);
  EXPECT_EQ(second_after(lying), absl::StatusCode::kInvalidArgument);
}

TEST(MessageReaderTest, SkipsMessagesOfLaterVersionsWithTheirBulk) {
  MessageReader reader = Reader();
  v1::Frame later;  // its message is unknown here
  later.set_bulk("abc");
  later.set_bulk_following_bytes(2);
  v1::Frame rest;
  rest.set_bulk("de");
  for (const v1::Frame& frame : {later, rest}) {
    const auto message = reader.Take(frame);
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_FALSE(message->has_value());
  }
  const auto ping = reader.Take(Parse(EncodeMessage(Ping{.number = 5})->front()));
  ASSERT_TRUE(ping.ok() && ping->has_value());
  EXPECT_EQ(std::get<Ping>(**ping).number, 5);
}

// The first frame of a message in parts, or its only one.
v1::Frame FirstFrame(Message message) { return Parse(EncodeMessage(std::move(message))->front()); }

// A manifest of 64 MiB from whoever was asked, a step's rows on a data link, and nothing else.
TEST(MessageReaderTest, OnlyWhatALinkHasToCarryComesInParts) {
  StageFrame step;
  step.step.tokens.resize(512);
  for (model::StepToken& token : step.step.tokens) token.sequence = 1;
  step.hidden.resize(512 * 8192);
  const Message manifest = ManifestReply{.bytes = std::string(kMaxManifestBytes, 'm')};
  WorkerHello hello_to_work;
  DataHello hello_to_send;
  WeightsHello hello_to_fetch;
  hello_to_work.worker = hello_to_send.from = hello_to_fetch.from = "a";
  hello_to_send.to = "b";
  const auto taken = [](LinkKind kind, bool dialled, const std::vector<Message>& messages) {
    MessageReader reader(kind, dialled);
    absl::Status status;
    for (const Message& message : messages)
      status.Update(reader.Take(FirstFrame(message)).status());
    return status.code();
  };
  constexpr auto kOk = absl::StatusCode::kOk, kRefused = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(taken(LinkKind::kWeights, true, {manifest}), kOk);
  EXPECT_EQ(taken(LinkKind::kWeights, false, {hello_to_fetch, manifest}), kRefused);
  EXPECT_EQ(taken(LinkKind::kData, true, {step}), kOk);
  EXPECT_EQ(taken(LinkKind::kData, false, {hello_to_send, step}), kOk);
  EXPECT_EQ(taken(LinkKind::kData, false, {step}), kRefused);
  EXPECT_EQ(taken(LinkKind::kData, false, {Ping{}, step}), kRefused);
  const Message large_ping = Ping{.bytes = std::string(kMaxBulkPartBytes + 1, 'x')};
  EXPECT_EQ(taken(LinkKind::kControl, true, {large_ping}), kRefused);
  EXPECT_EQ(taken(LinkKind::kControl, false, {hello_to_work, large_ping}), kRefused);
  // What fits into a frame is not held for long.
  const Message frameful = Ping{.bytes = std::string(kMaxBulkPartBytes, 'x')};
  EXPECT_EQ(taken(LinkKind::kControl, false, {frameful}), kOk);
}

TEST(EncodeTest, RefusesWhatNoPeerWouldTake) {
  EXPECT_EQ(
      EncodeMessage(ManifestReply{.bytes = std::string(kMaxBulkBytes + 1, 'x')}).status().code(),
      absl::StatusCode::kResourceExhausted);
}

TEST(EncodeTest, TextsAreCutAndCleaned) {
  const auto frames = EncodeMessage(
      Prepared{.status = absl::InternalError(std::string(5000, 'x') + "\x1b[2J\xff")});
  ASSERT_TRUE(frames.ok());
  EXPECT_TRUE(Decode(Parse(frames->front())).ok());
  WorkerHello strange;
  strange.worker = "a";
  strange.name = "\x1b[2J\xff";
  const auto hello = EncodeMessage(strange);
  EXPECT_EQ(Parse(hello->front()).worker_hello().name(), "\\x1B[2J\\xFF");
}

TEST(GoodbyeTest, CarriesAStatus) {
  const absl::Status why = absl::AbortedError("enough");
  const auto goodbye = DecodeGoodbye(Parse(EncodeGoodbye(why)));
  ASSERT_TRUE(goodbye.has_value());
  EXPECT_EQ(*goodbye, why);
  EXPECT_FALSE(DecodeGoodbye(v1::Frame()).has_value());
  v1::Frame strange;
  strange.mutable_goodbye()->set_code(77);
  EXPECT_EQ(DecodeGoodbye(strange)->code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace potluck::wire
