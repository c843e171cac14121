// How much memory this machine has for us.
#pragma once

#include <cstdint>
#include <string>

namespace potluck::kernels {

struct HostMemory {
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;  // can be had now, what the page cache would give back included
};

// The limits of this process's cgroup and of those that it is in count, be they of version 1 or 2:
// a container's, a service's (MemoryMax=), a session's. `root`: of the file system, for tests.
HostMemory ReadHostMemory(const std::string& root = "");

}  // namespace potluck::kernels
