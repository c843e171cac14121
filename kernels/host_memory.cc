#include "kernels/host_memory.h"

#include <algorithm>
#include <fstream>
#include <vector>

#include "absl/strings/str_split.h"

namespace potluck::kernels {
namespace {

// What the files of a version of cgroups are called.
struct Names {
  const char* limit;
  const char* used;
};
constexpr Names kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes"};
constexpr Names kVersion2 = {"memory.max", "memory.current"};

// What the page cache holds of a cgroup's used memory: the kernel gives it back when it is asked
// for.
int64_t ReadFileCache(const std::string& stat_path) {
  std::ifstream file(stat_path);
  std::string key;
  int64_t bytes = 0, cache_bytes = 0;
  while (file >> key >> bytes) {
    if (key == "active_file" || key == "inactive_file") cache_bytes += bytes;
  }
  return cache_bytes;
}

// The number that a file of one number holds; -1 for "max", a missing file or anything else.
int64_t ReadNumber(const std::string& path) {
  std::ifstream file(path);
  int64_t number = -1;
  return file >> number ? number : -1;
}

// `group` and all that it is in, up to where they are mounted. A container may see its own group
// there under a path that only the host knows: what is not there limits nothing, nor does a limit
// beyond what the machine has.
void ApplyLimits(const std::string& mount, std::string group, const Names& names,
                 HostMemory& memory) {
  const int64_t machine_bytes = memory.total_bytes;
  while (true) {
    const std::string folder = mount + group + "/";
    const int64_t limit = ReadNumber(folder + names.limit);
    if (limit > 0 && limit < machine_bytes) {
      memory.total_bytes = std::min(memory.total_bytes, limit);
      const int64_t used = ReadNumber(folder + names.used) - ReadFileCache(folder + "memory.stat");
      memory.free_bytes = std::min(memory.free_bytes, std::max<int64_t>(0, limit - used));
    }
    if (group.empty()) return;
    group.resize(group.rfind('/'));
  }
}

}  // namespace

HostMemory ReadHostMemory(const std::string& root) {
  HostMemory memory;
  std::ifstream meminfo(root + "/proc/meminfo");
  std::string key, unit;
  int64_t kib = 0;
  while (meminfo >> key >> kib && std::getline(meminfo, unit)) {
    if (key == "MemTotal:") memory.total_bytes = kib * 1024;
    if (key == "MemAvailable:") memory.free_bytes = kib * 1024;
  }
  // "0::/user.slice/a.service" is version 2, "4:cpu,memory:/docker/1" version 1.
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3 || !fields[2].starts_with('/')) continue;
    const std::string group = fields[2] == "/" ? "" : fields[2];
    const std::vector<std::string> controllers = absl::StrSplit(fields[1], ',');
    if (fields[1].empty()) {
      ApplyLimits(root + "/sys/fs/cgroup", group, kVersion2, memory);
    } else if (std::ranges::find(controllers, "memory") != controllers.end()) {
      ApplyLimits(root + "/sys/fs/cgroup/memory", group, kVersion1, memory);
    }
  }
  return memory;
}

}  // namespace potluck::kernels
