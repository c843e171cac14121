// Who holds how much of this worker's devices, by what stages say before they are loaded, and what
// the owner lends. A limit is kept by refusing the stage that would go over it.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/step.h"

namespace potluck::worker {

// Single-threaded.
class MemoryClaims {
 private:
  struct Entry {
    std::string device;
    model::InstanceId instance = 0;
    int64_t bytes = 0;
  };
  using Entries = std::list<Entry>;

 public:
  // Held as long as it lives. May outlive the claims.
  class Claim {
   public:
    ~Claim() { entries_->erase(entry_); }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    friend class MemoryClaims;
    Claim(std::shared_ptr<Entries> entries, Entries::iterator entry)
        : entries_(std::move(entries)), entry_(entry) {}

    const std::shared_ptr<Entries> entries_;
    const Entries::iterator entry_;
  };

  // `limit_bytes`: of each device, for all stages together; 0: no limit.
  explicit MemoryClaims(int64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // ResourceExhausted, with the numbers, where the owner lends less than this stage and those of
  // other instances take. Of one instance the largest stage counts: a new one replaces the one
  // before, as soon as it is ready.
  absl::StatusOr<std::unique_ptr<Claim>> Take(const std::string& device, model::InstanceId instance,
                                              int64_t bytes);

  // All claims on the device.
  int64_t HeldBytes(const std::string& device) const;

 private:
  const int64_t limit_bytes_;
  const std::shared_ptr<Entries> entries_ = std::make_shared<Entries>();
};

}  // namespace potluck::worker
