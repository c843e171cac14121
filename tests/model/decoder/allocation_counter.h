// Counts what a test program allocates: linking this file replaces its operator new.
#pragma once

#include <cstdint>

namespace potluck {

// Calls of operator new, on all threads, while it lives. One at a time.
class AllocationCounter {
 public:
  AllocationCounter();
  ~AllocationCounter();
  int64_t count() const;
};

}  // namespace potluck
