// Load, identity and disk of a machine.
#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>
#include <limits>

#include "common/files.h"
#include "worker/profile/host.h"
#include "worker/profile/load_by_others.h"

namespace potluck::worker {
namespace {

namespace fs = std::filesystem;

constexpr char kStat[] =
    "cpu  100 20 30 800 40 5 5 0 7 9\ncpu0 50 10 15 400 20 2 3 0 7 9\nintr 1 2 3\n";
constexpr char kSelf[] = "77 (a (b) c d) R 1 77 77 0 -1 4194560 1 2 3 4 60 15 9 9 20 0 1 0";

TEST(LoadByOthersTest, ReadsTheKernelsNumbers) {
  const auto times = ParseCpuTimes(kStat, kSelf);
  ASSERT_TRUE(times);
  EXPECT_EQ(times->all, 1000);  // guests' time is in user time already
  EXPECT_EQ(times->idle, 840);
  EXPECT_EQ(times->own, 75);
}

TEST(LoadByOthersTest, NeverTakesBrokenTexts) {
  const std::string stat = kStat, self = kSelf;
  for (size_t size = 0; size < stat.find(" 0 7 9"); ++size)
    EXPECT_FALSE(ParseCpuTimes(stat.substr(0, size), self)) << size;
  for (size_t size = 0; size < self.find("15 9 9"); ++size)
    EXPECT_FALSE(ParseCpuTimes(stat, self.substr(0, size))) << size;
  EXPECT_FALSE(ParseCpuTimes("cpu  -1 20 30 800 40 5 5 0", self));
  EXPECT_FALSE(ParseCpuTimes("cpu  99999999999999999999 20 30 800 40 5 5 0", self));
  EXPECT_FALSE(ParseCpuTimes("cpu  9223372036854775807 9223372036854775807 0 0 0 0 0 0", self));
  EXPECT_FALSE(ParseCpuTimes("cpu  x 20 30 800 40 5 5 0", self));
}

TEST(LoadByOthersTest, LeavesThisProcessOut) {
  const CpuTimes before{.all = 1000, .idle = 800, .own = 50};
  const auto others = [&](const CpuTimes& after) { return LoadBetween(before, after).others; };
  EXPECT_EQ(others({.all = 1200, .idle = 900, .own = 50}), 0.5);
  EXPECT_EQ(others({.all = 1200, .idle = 900, .own = 150}), 0);
  EXPECT_EQ(others({.all = 1200, .idle = 800, .own = 100}), 0.75);
  // Counters that stand still, go back, or disagree.
  EXPECT_EQ(others(before), 0);
  EXPECT_EQ(others({.all = 900, .idle = 700, .own = 0}), 0);
  EXPECT_EQ(others({.all = 1200, .idle = 800, .own = 9999}), 0);
  EXPECT_EQ(others({.all = 1200, .idle = 0, .own = 0}), 1);
  EXPECT_EQ(LoadBetween(before, {.all = 1200, .idle = 800, .own = 100}).own, 0.25);
  EXPECT_EQ(LoadBetween(before, {.all = 1200, .idle = 0, .own = 9999}).own, 1);
}

TEST(LoadByOthersTest, AMeterBeginsAtNothing) {
  LoadMeter meter;
  const CpuLoad first = meter.Read();
  EXPECT_EQ(first.others, 0);
  EXPECT_EQ(first.own, 0);
  const std::clock_t start = std::clock();
  while (std::clock() - start < CLOCKS_PER_SEC / 10) continue;
  EXPECT_GT(meter.Read().own, 0);
}

class HostTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  std::string File(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    return path;
  }
  const std::string folder_ =
      testing::TempDir() + "/host-" + testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(HostTest, ContainersOfOneMachineAreOneHost) {
  const std::string boot = File("boot", "4a7c-11\n"), other_boot = File("boot2", "4a7c-12\n");
  const std::string one = File("machine1", "aaaa\n"), two = File("machine2", "bbbb\n");
  const std::string here = HostIdentity({boot, one});
  EXPECT_EQ(here.size(), 32);
  EXPECT_EQ(here.find_first_not_of("0123456789abcdef"), here.npos);
  EXPECT_EQ(HostIdentity({boot, two}), here);
  EXPECT_NE(HostIdentity({other_boot, one}), here);
  // Without a boot's id the machine's counts; an empty file has none.
  const std::string nothing = File("nothing", "\n");
  EXPECT_EQ(HostIdentity({nothing, one}), HostIdentity({folder_ + "/none", one}));
  EXPECT_NE(HostIdentity({nothing, one}), HostIdentity({nothing, two}));
  EXPECT_EQ(HostIdentity({nothing, nothing}), "");
  EXPECT_EQ(HostIdentity({File("long", std::string(10000, 'a')), folder_}), "");
}

TEST_F(HostTest, OwnMemoryIsWhatTheKernelSays) {
  constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
  const auto bytes = [&](const std::string& text) { return PrivateBytes(File("status", text)); };
  EXPECT_EQ(bytes("Name:\tRssAnon: 1\nRssAnon:\t    5120 kB\nRssFile:\t 7 kB\n"), 5120 * 1024);
  for (const char* broken :
       {"", "Name:\tpotluck\n", "\nRssAnon:\t-1 kB\n", "\nRssAnon:\t1 MB\n",
        "\nRssAnon:\t99999999999999999999 kB\n", "\nRssAnon:\t9223372036854775807 kB\n"})
    EXPECT_EQ(bytes(broken), kAll) << broken;
  EXPECT_EQ(PrivateBytes(folder_ + "/none"), kAll);
}

TEST_F(HostTest, DiskOfAFolderThatIsNotThereYet) {
  const int64_t here = FreeDiskBytes(folder_);
  if (here == 0) GTEST_SKIP() << "the disk of the tests is full";
  EXPECT_GT(FreeDiskBytes(folder_ + "/cache/of/potluck"), 0);
  EXPECT_GT(FreeDiskBytes("relative/not/there"), 0);
}

}  // namespace
}  // namespace potluck::worker
