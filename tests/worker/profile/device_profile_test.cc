// A device's profile: measured once, kept, and measured again where that is asked for or needed.
#include "worker/profile/device_profile.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "common/files.h"
#include "tests/worker/profile/pan_device.h"

namespace potluck::worker {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

class DeviceProfileTest : public testing::Test {
 protected:
  DeviceProfileTest() {
    options_.state_folder = testing::TempDir() + "/profile-" +
                            testing::UnitTest::GetInstance()->current_test_info()->name();
    options_.version = "0.1.0";
    options_.load_by_others = [] { return 0.0; };
  }
  void SetUp() override { std::filesystem::create_directories(options_.state_folder); }
  void TearDown() override { std::filesystem::remove_all(options_.state_folder); }

  // How many products profiling takes.
  int Profile() {
    const int before = device_.num_products();
    const auto profile = ProfileDevice(device_, clock_, options_);
    EXPECT_TRUE(profile.ok()) << profile.status();
    if (profile.ok()) profile_ = *profile;
    return device_.num_products() - before;
  }

  FakeClock clock_;
  PanDevice device_{clock_, {}};
  ProfileOptions options_;
  wire::DeviceProfile profile_;
};

TEST_F(DeviceProfileTest, SaysWhatTheDeviceIs) {
  EXPECT_GT(Profile(), 0);
  EXPECT_EQ(profile_.device, "pan:0");
  EXPECT_EQ(profile_.description, "a cast-iron pan");
  EXPECT_EQ(profile_.backend, "pan");
  EXPECT_EQ(profile_.numerics_class, "pan-1");
  EXPECT_EQ(profile_.memory_bytes, 8 * kGiB);
  EXPECT_EQ(profile_.free_memory_bytes, 6 * kGiB);
  EXPECT_EQ(profile_.rates.size(), kernels::kNumWeightDTypes);
  EXPECT_GT(profile_.step_overhead_seconds, 0);
}

TEST_F(DeviceProfileTest, MeasuresOnce) {
  const int all = Profile();
  const auto rates = profile_.rates;
  EXPECT_EQ(Profile(), 0);
  ASSERT_EQ(profile_.rates.size(), rates.size());
  EXPECT_EQ(profile_.rates[3].decode_bytes_per_second, rates[3].decode_bytes_per_second);
  options_.measure_again = true;
  EXPECT_EQ(Profile(), all);
  options_.measure_again = false;
  options_.version = "0.2.0";
  EXPECT_EQ(Profile(), all);
  EXPECT_EQ(Profile(), 0);
}

// Speeds of a busy machine are what there is, until it is measured while it is quieter.
TEST_F(DeviceProfileTest, MeasuresAgainWhatABusyMachineHasSaid) {
  const auto with_load = [this](double load, double slow) {
    // The first call tells of the time before the measurement.
    options_.load_by_others = [load, calls = 0]() mutable { return calls++ == 0 ? 1.0 : load; };
    device_.SlowDown(slow);
    return Profile();
  };
  const auto speed = [this] { return profile_.rates[0].decode_bytes_per_second; };
  const int all = with_load(0.6, 4);
  EXPECT_GT(all, 0);
  const double busy = speed();
  // Busier still: measured, and not believed.
  EXPECT_GT(with_load(0.9, 8), 0);
  EXPECT_EQ(speed(), busy);
  EXPECT_GT(with_load(0.3, 2), 0);
  const double better = speed();
  EXPECT_GT(better, 1.5 * busy);
  EXPECT_GT(with_load(0.05, 1), 0);
  EXPECT_GT(speed(), 1.5 * better);
  const double quiet = speed();
  EXPECT_EQ(with_load(0, 1), 0);
  EXPECT_EQ(speed(), quiet);
  // A person who asks gets what is measured now, and that is kept.
  options_.measure_again = true;
  EXPECT_GT(with_load(0.1, 2), 0);
  EXPECT_LT(speed(), quiet);
  options_.measure_again = false;
  EXPECT_EQ(with_load(0, 1), 0);
  EXPECT_LT(speed(), quiet);
}

TEST_F(DeviceProfileTest, MeasuresAnewWhereTheFileIsBroken) {
  const int all = Profile();
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(options_.state_folder)) {
    ++files;
    ASSERT_TRUE(WriteFileAtomically(file.path(), "{\"device\": 3").ok());
  }
  EXPECT_EQ(files, 1);
  EXPECT_EQ(Profile(), all);
  EXPECT_EQ(Profile(), 0);
}

TEST_F(DeviceProfileTest, GoesOnWithoutAFolder) {
  options_.state_folder += "/none";
  EXPECT_GT(Profile(), 0);
  EXPECT_GT(Profile(), 0);
}

TEST_F(DeviceProfileTest, SaysWhichDeviceFails) {
  device_.Break();
  const auto profile = ProfileDevice(device_, clock_, options_);
  EXPECT_NE(profile.status().message().find("pan:0"), absl::string_view::npos) << profile.status();
}

TEST_F(DeviceProfileTest, TellsWhatTheOwnerLends) {
  Profile();
  EXPECT_EQ(profile_.memory_limit_bytes, 0);
  options_.memory_limit_bytes = kGiB;
  Profile();
  EXPECT_EQ(profile_.memory_limit_bytes, kGiB);
  EXPECT_EQ(profile_.free_memory_bytes, 6 * kGiB);
}

TEST_F(DeviceProfileTest, TheWatchTellsOfEachDevice) {
  MachineWatch watch;
  const MachineState state = watch.Read({4096, int64_t{1} << 60});
  ASSERT_EQ(state.free_memory_bytes.size(), 2);
  EXPECT_GT(state.free_memory_bytes[0], 0);
  EXPECT_EQ(state.free_memory_bytes[1], state.free_memory_bytes[0]);
  // No process holds that much.
  ASSERT_EQ(state.held_memory_bytes.size(), 2);
  EXPECT_EQ(state.held_memory_bytes[0], 4096);
  EXPECT_LT(state.held_memory_bytes[1], int64_t{1} << 60);
  EXPECT_GE(state.load, 0);
  EXPECT_LE(state.load, 1);
}

// Memory that a stage has asked for and not written, or mapped from a file, is not taken.
TEST_F(DeviceProfileTest, NobodyHoldsMoreThanTheProcess) {
  EXPECT_EQ(ReallyHeld({3, 4}, 100), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(ReallyHeld({3, 4}, 5), (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(ReallyHeld({-3, 4}, 0), (std::vector<int64_t>{0, 0}));
}

}  // namespace
}  // namespace potluck::worker
