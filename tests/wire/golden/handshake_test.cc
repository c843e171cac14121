// What protocol 1.0 has said to greet stays readable, and is what this program says.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "absl/strings/escaping.h"
#include "potluck/v1/cluster.pb.h"
#include "wire/grpc/codec.h"
#include "wire/version.h"

namespace potluck::wire {
namespace {

const char kWorker[] = "0123456789abcdef0123456789abcdef";

std::string Recorded(const std::string& wanted) {
  std::ifstream file(POTLUCK_SOURCE_DIR "/tests/wire/golden/handshake_1_0.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, digits;
    words >> name >> digits;
    if (name == wanted) return absl::HexStringToBytes(digits);
  }
  ADD_FAILURE() << "there is no recorded " << wanted;
  return "";
}

v1::Frame RecordedFrame(const std::string& name) {
  v1::Frame frame;
  EXPECT_TRUE(frame.ParseFromString(Recorded(name)));
  return frame;
}

// The message, once it has been seen that it is sent as those very bytes.
template <class T>
T Read(const std::string& name) {
  MessageReader reader(LinkKind::kControl, /*dialled=*/false);
  const auto message = reader.Take(RecordedFrame(name));
  if (!message.ok() || !message->has_value()) {
    ADD_FAILURE() << name << ": " << message.status();
    return {};
  }
  const auto frames = EncodeMessage(**message);
  EXPECT_EQ(frames->front().head, Recorded(name)) << name;
  return std::get<T>(**message);
}

void ExpectVersion(const Version& version) {
  EXPECT_EQ(version.major, 1);
  EXPECT_EQ(version.minor, 0);
  EXPECT_EQ(version.build, "0.1.0");
  EXPECT_TRUE(CheckVersion(OurVersion("test"), version, "this worker", "the coordinator").ok());
}

TEST(HandshakeTest, AWorkerGreets) {
  const auto hello = Read<WorkerHello>("worker_hello");
  ExpectVersion(hello.version);
  EXPECT_EQ(hello.worker, kWorker);
  EXPECT_EQ(hello.name, "pi4");
  EXPECT_EQ(hello.process, 0x0123456789abcdefu);
  EXPECT_EQ(hello.host, "6e1f0c52a4b94d07");
  EXPECT_EQ(hello.addresses, (std::vector<std::string>{"192.168.1.7:7080", "[fd00::7]:7080"}));
  EXPECT_EQ(hello.disk_free_bytes, 17179869184);
  ASSERT_EQ(hello.devices.size(), 1u);
  const DeviceProfile& device = hello.devices[0];
  EXPECT_EQ(device.device, "cpu");
  EXPECT_EQ(device.description, "Cortex-A72");
  EXPECT_EQ(device.backend, "cpu");
  EXPECT_EQ(device.numerics_class, "cpu-1");
  EXPECT_EQ(device.memory_bytes, 4026531840);
  EXPECT_EQ(device.free_memory_bytes, 3221225472);
  EXPECT_EQ(device.step_overhead_seconds, 0.00025);
  ASSERT_EQ(device.rates.size(), 2u);
  EXPECT_EQ(device.rates[0].dtype, kernels::DType::kQ4_K);
  EXPECT_EQ(device.rates[0].decode_bytes_per_second, 3.5e9);
  EXPECT_EQ(device.rates[0].prefill_operations_per_second, 2.4e10);
  EXPECT_EQ(device.rates[1].dtype, kernels::DType::kF16);
}

TEST(HandshakeTest, TheCoordinatorAnswers) {
  const auto welcome = Read<Welcome>("welcome");
  ExpectVersion(welcome.version);
  EXPECT_EQ(welcome.term, 3);
  EXPECT_EQ(welcome.cluster, "attic");
  EXPECT_EQ(welcome.heartbeat_interval, absl::Milliseconds(500));
}

TEST(HandshakeTest, OtherLinksBegin) {
  const auto data = Read<DataHello>("data_hello");
  ExpectVersion(data.version);
  EXPECT_EQ(data.from, kWorker);
  EXPECT_EQ(data.to, kCoordinator);
  const auto weights = Read<WeightsHello>("weights_hello");
  ExpectVersion(weights.version);
  EXPECT_EQ(weights.from, kWorker);
}

TEST(HandshakeTest, ARefusalSaysWhichSideToUpdate) {
  const auto goodbye = DecodeGoodbye(RecordedFrame("goodbye"));
  ASSERT_TRUE(goodbye.has_value());
  const absl::Status refused =
      CheckVersion({1, 0, ""}, {2, 0, ""}, "the coordinator", "this worker");
  EXPECT_EQ(refused.code(), goodbye->code());
  EXPECT_NE(refused.message().find("update potluck on the coordinator"), absl::string_view::npos);
  EXPECT_NE(goodbye->message().find("update potluck on the coordinator"), absl::string_view::npos);
}

}  // namespace
}  // namespace potluck::wire
