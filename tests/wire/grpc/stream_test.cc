// A stream over a call whose other end does what it likes, in simulated time.
#include "wire/grpc/stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/support/slice.h"
#include "tests/testing/simulated_executor.h"

namespace potluck::wire {
namespace {

constexpr absl::Duration kLinger = absl::Seconds(5);

// Writes end at once where `writes_end`; nothing else ever happens by itself.
class FakeCall final : public Call {
 public:
  FakeCall(Stream& stream, bool dialled) : stream_(stream), dialled_(dialled) {}
  void Opened() override {}
  void Read() override {}
  void Write(EncodedFrame frame) override {
    written.push_back(std::move(frame));
    if (writes_end) stream_.WriteDone(true);
  }
  void WritesDone() override {}
  void Finish() override { finished = true; }
  void Cancel() override { cancelled = true; }
  bool dialled() const override { return dialled_; }

  bool writes_end = true, finished = false, cancelled = false;
  std::vector<EncodedFrame> written;

 private:
  Stream& stream_;
  const bool dialled_;
};

struct Handler final : LinkHandler {
  void OnMessage(Message) override { ++messages; }
  void OnClosed(absl::Status why) override { closed.push_back(std::move(why)); }
  int messages = 0;
  std::vector<absl::Status> closed;
};

grpc::ByteBuffer Bytes(const std::string& text) {
  const grpc::Slice slice(text);
  return {&slice, 1};
}

class StreamTest : public ::testing::TestWithParam<bool> {
 protected:
  StreamTest() {
    stream_->SetHandler(&handler_);
    stream_->Begin(&call_);
    stream_->Up(true);
  }
  ~StreamTest() override { stream_->CallDone(absl::OkStatus()); }
  void Receive(const std::string& bytes) { stream_->ReadDone(true, Bytes(bytes)); }

  SimulatedTime time_;
  const std::unique_ptr<SimulatedExecutor> executor_ = time_.MakeExecutor();
  const std::shared_ptr<Stream> stream_ = std::make_shared<Stream>(
      *executor_, PeerIdentity{"peer", "peer:1"}, MessageReader(LinkKind::kData, GetParam()),
      std::make_shared<TrafficMeter::Count>(0));
  Handler handler_;
  FakeCall call_{*stream_, GetParam()};
};

// The peer has sent nonsense and keeps the call open: it reads nothing, or does not end its side.
TEST_P(StreamTest, APeerThatSendsNonsenseCannotKeepTheCall) {
  call_.writes_end = GetParam();
  Receive("\xff\xff\xff");
  time_.RunFor(absl::ZeroDuration());
  ASSERT_EQ(handler_.closed.size(), 1u);
  EXPECT_EQ(handler_.closed[0].code(), absl::StatusCode::kInvalidArgument);
  stream_->Close(absl::OkStatus());  // as its owner does
  time_.RunFor(kLinger - absl::Milliseconds(1));
  EXPECT_EQ(call_.written.size(), 1u);  // the goodbye had its time
  EXPECT_FALSE(call_.cancelled);
  time_.RunFor(absl::Milliseconds(1));
  EXPECT_TRUE(call_.cancelled);
}

TEST_P(StreamTest, APeerThatIsToldGoodbyeCannotKeepTheCall) {
  call_.writes_end = GetParam();
  stream_->Close(absl::OkStatus());
  time_.RunFor(kLinger - absl::Milliseconds(1));
  EXPECT_FALSE(call_.cancelled);
  time_.RunFor(absl::Milliseconds(1));
  EXPECT_TRUE(call_.cancelled);
}

TEST_P(StreamTest, WhatComesAfterItWasClosedIsNotLookedAt) {
  stream_->Close(absl::OkStatus());
  Receive("\xff\xff\xff");
  Receive("");
  time_.RunFor(absl::ZeroDuration());
  EXPECT_TRUE(handler_.closed.empty());
  EXPECT_EQ(handler_.messages, 0);
}

std::string NameOf(const ::testing::TestParamInfo<bool>& info) {
  return info.param ? "dialled" : "accepted";
}
INSTANTIATE_TEST_SUITE_P(Sides, StreamTest, ::testing::Values(true, false), NameOf);

}  // namespace
}  // namespace potluck::wire
