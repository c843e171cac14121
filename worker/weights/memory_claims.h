// Who holds how much of this worker's devices, by what stages say before they are loaded, and what
// the owner lends. A limit is kept by refusing the stage that would go over it.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "model/step.h"

namespace potluck::worker {

// Thread-safe.
class MemoryClaims {
 private:
  struct Entry {
    std::string device;
    model::InstanceId instance = 0;
    int64_t bytes = 0;
  };
  struct Book {
    Mutex mutex;
    std::list<Entry> entries ABSL_GUARDED_BY(mutex);
  };

 public:
  // Held as long as it lives. May outlive the claims.
  class Claim {
   public:
    ~Claim();
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    friend class MemoryClaims;
    Claim(std::shared_ptr<Book> book, std::list<Entry>::iterator entry)
        : book_(std::move(book)), entry_(entry) {}

    const std::shared_ptr<Book> book_;
    const std::list<Entry>::iterator entry_;
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
  const std::shared_ptr<Book> book_ = std::make_shared<Book>();
};

}  // namespace potluck::worker
