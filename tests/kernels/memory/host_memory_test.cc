// The kernel's files, as a process sees them in the places where people run services.
#include "kernels/host_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace potluck::kernels {
namespace {

constexpr int64_t kMiB = 1 << 20;

class HostMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/host_memory_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
    Write("/proc/meminfo",
          "MemTotal:       8388608 kB\nMemFree: 1 kB\nMemAvailable:   6291456 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void Expect(int64_t total_mib, int64_t free_mib) const {
    const HostMemory memory = ReadHostMemory(root_);
    EXPECT_EQ(memory.total_bytes / kMiB, total_mib);
    EXPECT_EQ(memory.free_bytes / kMiB, free_mib);
  }

  std::string root_;
};

TEST_F(HostMemoryTest, WithoutLimitsItIsTheMachines) {
  Expect(8192, 6144);
  Write("/proc/self/cgroup", "0::/\n");
  Write("/sys/fs/cgroup/memory.stat", "inactive_file 1\n");  // the root has no limit
  Expect(8192, 6144);
}

TEST_F(HostMemoryTest, AServiceHasItsOwnLimitAndItsSlices) {
  Write("/proc/self/cgroup", "0::/system.slice/potluck.service\n");
  const std::string slice = "/sys/fs/cgroup/system.slice/";
  const std::string service = slice + "potluck.service/";
  Write(service + "memory.max", "1073741824\n");
  Write(service + "memory.current", "314572800\n");
  Write(service + "memory.stat", "anon 5\nactive_file 104857600\ninactive_file 104857600\n");
  Expect(1024, 1024 - 100);
  Write(slice + "memory.max", "2147483648\n");
  Write(slice + "memory.current", "2042626048\n");
  Expect(1024, 100);  // others of the slice have the rest
  Write(service + "memory.max", "max\n");
  Expect(2048, 100);
}

TEST_F(HostMemoryTest, VersionOneHasAGroupForMemory) {
  Write("/proc/self/cgroup", "9:cpu:/elsewhere\n4:cpuset,memory:/box\n0::/\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n");
  Expect(8192, 6144);
  Write("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "209715200\n");
  Write("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "104857600\n");
  Expect(200, 100);
  Write("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "300000000\n");
  Expect(200, 0);
}

TEST_F(HostMemoryTest, AContainerSeesItsGroupAsTheRoot) {
  Write("/proc/self/cgroup", "0::/docker/1f00/../far\n");
  Write("/sys/fs/cgroup/memory.max", "536870912\n");
  Write("/sys/fs/cgroup/memory.current", "268435456\n");
  Expect(512, 256);
}

TEST_F(HostMemoryTest, OddFilesLimitNothing) {
  Write("/proc/self/cgroup", "\n::\n0:\n0::relative\n7:memory\n");
  Write("/sys/fs/cgroup/memory.max", "1\n");
  Expect(8192, 6144);
}

}  // namespace
}  // namespace potluck::kernels
