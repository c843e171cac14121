#include "kernels/host_buffer.h"

#include <sys/mman.h>

#include <limits>

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

}  // namespace potluck::kernels
