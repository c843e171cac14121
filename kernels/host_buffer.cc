#include "kernels/host_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace potluck::kernels {
namespace {

class HostBuffer final : public Buffer {
 public:
  HostBuffer(std::byte* memory, int64_t size_bytes) : Buffer(memory, size_bytes) {}
  ~HostBuffer() override {
    if (size_bytes() > 0) munmap(host(), size_bytes());
  }
};

constexpr int64_t kHugePageBytes = int64_t{2} << 20;

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

void ApplyCgroupLimit(int64_t limit_bytes, int64_t used_bytes, HostMemory& memory) {
  if (limit_bytes <= 0 || limit_bytes >= memory.total_bytes) return;
  memory.total_bytes = limit_bytes;
  memory.free_bytes = std::min(memory.free_bytes, std::max<int64_t>(0, limit_bytes - used_bytes));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Buffer>> AllocateHostBuffer(int64_t size_bytes,
                                                           std::string_view what) {
  if (size_bytes < 0 || size_bytes > std::numeric_limits<int64_t>::max() / 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToAbsl(what), " would take an impossible number of bytes"));
  }
  if (size_bytes == 0) return std::make_unique<HostBuffer>(nullptr, 0);
  void* memory =
      mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "not enough memory for ", ToAbsl(what), " (", size_bytes >> 20,
        " MiB): free some, or choose a smaller model, context (--ctx) or KV type (--kv-type q8)"));
  }
  if (size_bytes >= kHugePageBytes) madvise(memory, size_bytes, MADV_HUGEPAGE);
  return std::make_unique<HostBuffer>(static_cast<std::byte*>(memory), size_bytes);
}

HostMemory ReadHostMemory() {
  HostMemory memory;
  std::ifstream meminfo("/proc/meminfo");
  std::string key, unit;
  int64_t kib = 0;
  while (meminfo >> key >> kib && std::getline(meminfo, unit)) {
    if (key == "MemTotal:") memory.total_bytes = kib * 1024;
    if (key == "MemAvailable:") memory.free_bytes = kib * 1024;
  }
  const std::string v2 = "/sys/fs/cgroup/", v1 = "/sys/fs/cgroup/memory/";
  ApplyCgroupLimit(ReadNumber(v2 + "memory.max"),
                   ReadNumber(v2 + "memory.current") - ReadFileCache(v2 + "memory.stat"), memory);
  ApplyCgroupLimit(ReadNumber(v1 + "memory.limit_in_bytes"),
                   ReadNumber(v1 + "memory.usage_in_bytes") - ReadFileCache(v1 + "memory.stat"),
                   memory);
  return memory;
}

}  // namespace potluck::kernels
