// Speeds on disk: what was written comes back, and nothing else does.
#include "worker/profile/speed_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "common/files.h"

namespace potluck::worker {
namespace {

using kernels::DType;

const SpeedKey kKey{"cpu", "Celeron \"quoted\", 4 threads", "cpu_avx2", "0.1.0"};
const KernelSpeeds kSpeeds{.rates = {{DType::kF16, 1.25e9, 3e10}, {DType::kQ4_K, 2e9 / 3, 7e9}},
                           .step_overhead_seconds = 12e-6,
                           .layer_overhead_seconds = 7e-6,
                           .load = 0.25};

class SpeedFileTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(WriteSpeeds(path_, kKey, kSpeeds), absl::OkStatus()); }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string Text() { return *ReadFile(path_, 1 << 20); }
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  // The file with one text in the place of another.
  void Replace(const std::string& from, const std::string& to) {
    std::string text = Text();
    const size_t at = text.find(from);
    ASSERT_NE(at, text.npos) << from;
    Write(text.replace(at, from.size(), to));
  }
  absl::StatusCode Code() { return ReadSpeeds(path_, kKey).status().code(); }

  const std::string path_ = testing::TempDir() + "/speeds-" +
                            testing::UnitTest::GetInstance()->current_test_info()->name() + ".json";
};

TEST_F(SpeedFileTest, ReadsWhatWasWritten) {
  const auto speeds = ReadSpeeds(path_, kKey);
  ASSERT_TRUE(speeds.ok()) << speeds.status();
  EXPECT_EQ(speeds->step_overhead_seconds, kSpeeds.step_overhead_seconds);
  EXPECT_EQ(speeds->layer_overhead_seconds, kSpeeds.layer_overhead_seconds);
  EXPECT_EQ(speeds->load, kSpeeds.load);
  ASSERT_EQ(speeds->rates.size(), kSpeeds.rates.size());
  for (size_t i = 0; i < kSpeeds.rates.size(); ++i) {
    EXPECT_EQ(speeds->rates[i].dtype, kSpeeds.rates[i].dtype);
    EXPECT_EQ(speeds->rates[i].decode_bytes_per_second, kSpeeds.rates[i].decode_bytes_per_second);
    EXPECT_EQ(speeds->rates[i].prefill_operations_per_second,
              kSpeeds.rates[i].prefill_operations_per_second);
  }
}

TEST_F(SpeedFileTest, IsOfOneDeviceDriverAndVersion) {
  for (std::string SpeedKey::*field :
       {&SpeedKey::device, &SpeedKey::hardware, &SpeedKey::target, &SpeedKey::version}) {
    SpeedKey other = kKey;
    other.*field += "x";
    EXPECT_EQ(ReadSpeeds(path_, other).status().code(), absl::StatusCode::kNotFound);
  }
  EXPECT_FALSE(ReadSpeeds("/no/such/file", kKey).ok());
}

TEST_F(SpeedFileTest, RefusesEveryPartOfItself) {
  const std::string text = Text();
  for (size_t size = 0; size + 2 < text.size(); ++size) {
    Write(text.substr(0, size));
    EXPECT_FALSE(ReadSpeeds(path_, kKey).ok()) << size;
  }
}

TEST_F(SpeedFileTest, RefusesNumbersThatCannotBe) {
  const std::string text = Text();
  const std::pair<const char*, const char*> changes[] = {
      {"1250000000.0", "-1"},    {"1250000000.0", "0"},     {"1250000000.0", "1e300"},
      {"1250000000.0", "1e999"}, {"1250000000.0", "\"1\""}, {"30000000000.0", "null"},
      {"\"f16\"", "\"f17\""},    {"\"f16\"", "\"q4_k\""},   {"\"f16\"", "16"},
      {"1.2e-05", "-1e-9"},      {"1.2e-05", "61"},         {"7e-06", "-1e-9"},
      {"0.25", "-0.1"},          {"0.25", "1.1"},           {"\"load\"", "\"loud\""},
      {"\"rates\"", "\"rate\""}};
  for (const auto& [from, to] : changes) {
    Write(text);
    Replace(from, to);
    EXPECT_EQ(Code(), absl::StatusCode::kInvalidArgument) << from << " -> " << to;
  }
  Write(std::string(100000, '['));
  EXPECT_FALSE(ReadSpeeds(path_, kKey).ok());
  Write(text);  // the control
  EXPECT_EQ(Code(), absl::StatusCode::kOk);
}

}  // namespace
}  // namespace potluck::worker
