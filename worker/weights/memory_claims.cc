#include "worker/weights/memory_claims.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace potluck::worker {
namespace {

std::string MiB(int64_t bytes) { return absl::StrCat((bytes + (1 << 20) - 1) >> 20, " MiB"); }

}  // namespace

absl::StatusOr<std::unique_ptr<MemoryClaims::Claim>> MemoryClaims::Take(const std::string& device,
                                                                        model::InstanceId instance,
                                                                        int64_t bytes) {
  std::map<model::InstanceId, int64_t> others;
  const MutexLock lock(book_->mutex);
  for (const Entry& entry : book_->entries) {
    if (entry.device != device || entry.instance == instance) continue;
    int64_t& most = others[entry.instance];
    most = std::max(most, entry.bytes);
  }
  int64_t beside = 0;
  for (const auto& [other, most] : others) beside += most;
  if (limit_bytes_ > 0 && bytes > limit_bytes_ - beside) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the layers take ", MiB(bytes), " of ", device, ", beside ", MiB(beside),
                     " of other models, and its owner lends ", MiB(limit_bytes_), " (--memory)"));
  }
  const auto entry = book_->entries.insert(book_->entries.end(), {device, instance, bytes});
  return std::unique_ptr<Claim>(new Claim(book_, entry));
}

MemoryClaims::Claim::~Claim() {
  const MutexLock lock(book_->mutex);
  book_->entries.erase(entry_);
}

int64_t MemoryClaims::HeldBytes(const std::string& device) const {
  int64_t held = 0;
  const MutexLock lock(book_->mutex);
  for (const Entry& entry : book_->entries) {
    if (entry.device == device) held += entry.bytes;
  }
  return held;
}

}  // namespace potluck::worker
